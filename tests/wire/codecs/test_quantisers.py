"""Integers and levels: what they cost, and where they round to."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import shapes_of
from fedlora.wire.codecs.int8 import rows_of
from fedlora.wire.codecs.nf4 import LEVELS

SPEC = AdapterSpec(
    base="b",
    layers=tuple(LayerSpec(f"block.{i}.query", 768, 768, 8) for i in range(4)),
    alpha=16.0,
)


def gaussian(spec: AdapterSpec = SPEC) -> LoraAdapter:
    draw = torch.Generator().manual_seed(0)
    return LoraAdapter.from_flat(spec, 0.02 * torch.randn(spec.size, generator=draw))


def bits(name: str) -> float:
    return 8 * len(CodecPart(name=name).build().encode(gaussian())) / SPEC.size


def relative_error(name: str) -> float:
    codec, sent = CodecPart(name=name).build(), gaussian()
    back = codec.decode(codec.encode(sent), SPEC).flatten()
    return float((back - sent.flatten()).norm() / sent.flatten().norm())


def test_scales_are_counted():
    assert bits("int8") == pytest.approx(8 + 32 / 768)
    assert bits("int4") == pytest.approx(4 + 16 / 64)
    assert bits("nf4") == pytest.approx(4 + 16 / 64)


def test_the_error_of_gaussian_values_is_what_the_bits_allow():
    # No code of b bits a value beats 2^-b on Gaussian values (rate distortion).
    assert 2**-8.05 < relative_error("int8") < 0.009
    assert 2**-4.25 < relative_error("nf4") < relative_error("int4") < 0.12


def test_a_row_is_one_rank_of_either_factor():
    spec = AdapterSpec(base="b", layers=(LayerSpec("q", 5, 7, 2),), alpha=4.0)
    adapter = gaussian(spec)
    down, up = rows_of(adapter.flatten(), shapes_of(spec))

    assert torch.equal(down, adapter.down["q"])
    assert torch.equal(up, adapter.up["q"].T)


def test_a_large_row_does_not_coarsen_the_others():
    sent = gaussian()
    sent.down["block.0.query"][0] *= 1e4
    codec = CodecPart(name="int8").build()
    back = codec.decode(codec.encode(sent), SPEC)

    kept = (back.down["block.1.query"] - sent.down["block.1.query"]).abs().max()
    assert kept < 0.02 * 5 / 127


def test_the_levels_are_those_of_the_paper():
    # Table of Dettmers et al. 2023, appendix E, to four digits.
    inner = [-0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0, 0.0796, 0.1609, 0.2461]
    outer = [0.3379, 0.4407, 0.5626, 0.7230, 1.0]

    assert LEVELS.tolist() == pytest.approx([-1.0, *inner, *outer], abs=1e-4)


@pytest.mark.parametrize("name", ["int8", "int4", "nf4"])
def test_a_scale_that_is_not_finite_is_refused(name):
    codec = CodecPart(name=name).build()
    data = codec.encode(gaussian())
    data[:4] = torch.tensor([0x80, 0x7F, 0x80, 0x7F], dtype=torch.uint8)  # infinity, either way
    with pytest.raises(FedloraError, match="NaN or infinity"):
        codec.decode(data, SPEC)


@pytest.mark.parametrize("name", ["int8", "int4", "nf4"])
def test_a_scale_bears_the_largest_number(name):
    largest = torch.finfo(torch.float32).max
    values = largest * torch.tensor([1.0, -1.0, 0.4, 0.0, 1e-3] * 20)
    codec = CodecPart(name=name).build()
    back = codec.unpack(codec.pack(values, [(100,)]), [(100,)])

    assert torch.isfinite(back).all()
    assert float((back.double() - values).abs().max()) <= codec.bound(values, [(100,)])
    assert back[:2].tolist() == pytest.approx([largest, -largest], rel=0.02)
