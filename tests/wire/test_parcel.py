"""Parts of an adapter on their way."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.parts import WHOLE, put_parts, take_parts
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire import parcel

SPEC = AdapterSpec(
    "b", (LayerSpec("a", 6, 5, 2), LayerSpec("b", 6, 7, 2)), 4.0, head=(("bias", (3,)),)
)


def draw(seed: int) -> LoraAdapter:
    rng = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(SPEC, torch.randn(SPEC.size, generator=rng))


@pytest.mark.parametrize("parts", [("up", "head"), ("down",), ("head",), WHOLE])
@pytest.mark.parametrize("near", [None, draw(3)])
def test_the_parts_arrive_and_the_others_stay(parts, near):
    codec = CodecPart(name="delta", inner={"name": "none"}).build()
    sent, onto = draw(1), draw(2)
    data = parcel.pack(codec, sent, parts, near)
    arrived = parcel.unpack(codec, data, parts, onto, near)

    rest = tuple(part for part in WHOLE if part not in parts)
    assert len(data) == 4 * len(take_parts(sent, parts))
    assert torch.allclose(take_parts(arrived, parts), take_parts(sent, parts), atol=1e-6)
    assert torch.equal(take_parts(arrived, rest), take_parts(onto, rest))


def test_parts_that_are_put_are_those_that_were_taken():
    both = put_parts(draw(2), ("down",), take_parts(draw(1), ("down",)))

    assert torch.equal(both.down["a"], draw(1).down["a"])
    assert torch.equal(both.up["a"], draw(2).up["a"])


def test_parts_that_are_not_finite_are_refused_on_both_sides():
    codec, sent = CodecPart(name="none").build(), draw(1)
    data = parcel.pack(codec, sent, ("up",), None)
    data[:4] = torch.tensor([0, 0, 0xC0, 0x7F], dtype=torch.uint8)
    sent.up["a"][0, 0] = float("nan")

    with pytest.raises(FedloraError, match="NaN or infinity"):
        parcel.unpack(codec, data, ("up",), draw(2), None)
    with pytest.raises(FedloraError, match="NaN or infinity"):
        parcel.pack(codec, sent, ("up",), None)
