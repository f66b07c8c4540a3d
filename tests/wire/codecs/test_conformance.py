"""What every codec owes, found by name so that a new file is held to it at once."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import Codec, shapes_of
from tests.adapters import random_adapter

NAMES = registry.names("wire.codecs")
SPEC = AdapterSpec(
    base="b" * 64,
    layers=(LayerSpec("a.q", 12, 9, 3), LayerSpec("a.v", 12, 7, 2)),
    alpha=8.0,
    head=(("classifier.weight", (3, 12)), ("classifier.bias", (3,))),
)
LARGEST = torch.finfo(torch.float32).max
every_codec = pytest.mark.parametrize("name", NAMES)


def make(name: str) -> Codec:
    codec = CodecPart(name=name).build()
    assert isinstance(codec, Codec)
    return codec


def adapter(spread: float, seed: int) -> LoraAdapter:
    return random_adapter(SPEC, seed, spread)


def error(codec: Codec, sent: LoraAdapter, received: LoraAdapter) -> float:
    if codec.measure == "product":
        return distance(sent, received)
    return float((received.flatten().double() - sent.flatten().double()).abs().max())


def test_every_codec_that_the_docs_name_is_there() -> None:
    named = {"none", "fp16", "bf16", "int8", "int4", "nf4", "topk", "lowrank", "delta", "zstd"}
    assert named <= set(NAMES)


@every_codec
def test_the_bytes_are_no_more_than_was_foretold(name: str) -> None:
    codec = make(name)
    for spread in (1e-30, 0.02, 100.0):
        assert len(codec.encode(adapter(spread, 3))) <= codec.most(shapes_of(SPEC))


@every_codec
def test_the_bound_holds_on_a_trained_adapter(
    name: str, trained: tuple[LoraAdapter, LoraAdapter]
) -> None:
    start, sent = trained
    codec = make(name).against(start.flatten())
    data = codec.encode(sent)
    received = codec.decode(data, sent.spec)

    assert 0 < len(data) <= codec.most(shapes_of(sent.spec))
    assert error(codec, sent, received) <= codec.error_bound(sent)


CHAINS: list[dict[str, Any]] = [
    {"name": "lowrank", "rank": 1, "inner": {"name": "int8"}},
    {"name": "lowrank", "rank": 1, "inner": {"name": "int4"}},
    {"name": "zstd", "planes": 2, "inner": {"name": "bf16"}},
    {"name": "zstd", "planes": 2, "inner": {"name": "delta", "inner": {"name": "bf16"}}},
    {"name": "delta", "inner": {"name": "int4"}},
    {"name": "delta", "inner": {"name": "topk", "fraction": 0.1, "inner": {"name": "int8"}}},
]
"""As the documentation and the bench have them."""


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_the_bound_of_a_chain_holds_on_a_trained_adapter(
    chain: dict[str, Any], trained: tuple[LoraAdapter, LoraAdapter]
) -> None:
    start, sent = trained
    codec = CodecPart(**chain).build().against(start.flatten())
    received = codec.decode(codec.encode(sent), sent.spec)

    assert error(codec, sent, received) <= codec.error_bound(sent)


@pytest.mark.parametrize("inner", ["delta", "lowrank"])
def test_a_difference_of_what_has_none_is_refused(inner: str) -> None:
    with pytest.raises(FedloraError, match="difference"):
        CodecPart(name="delta", inner={"name": inner}).build()


@every_codec
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_adapter_that_is_not_finite_is_never_sent(name: str, bad: float) -> None:
    sent = adapter(0.02, 1)
    sent.up["a.q"][0, 0] = bad
    with pytest.raises(FedloraError, match=r"NaN or infinity|not finite"):
        make(name).encode(sent)


@every_codec
def test_half_an_adapter_travels_as_well(name: str) -> None:
    codec, values = make(name), adapter(0.02, 1).flatten()[: 3 * 12 + 9 * 3]
    shapes = [(3, 12), (9, 3)]
    back = codec.unpack(codec.pack(values, shapes), shapes)

    assert float((back - values).abs().max()) <= codec.bound(values, shapes)


@every_codec
@given(exponent=st.integers(-45, 3), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_no_value_moves_by_more_than_the_stated_bound(name: str, exponent: int, seed: int) -> None:
    codec, sent = make(name), adapter(10.0**exponent, seed)
    received = codec.decode(codec.encode(sent), SPEC)

    assert received.spec == SPEC
    assert error(codec, sent, received) <= codec.error_bound(sent)


@every_codec
@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_the_largest_number_arrives_within_the_bound_or_is_refused(name: str, value: float) -> None:
    codec, sent = make(name), adapter(1.0, 1)
    sent.up["a.q"][0, 0] = value
    try:
        data = codec.encode(sent)
    except FedloraError:
        return
    received = codec.decode(data, SPEC)

    assert error(codec, sent, received) <= codec.error_bound(sent)


@every_codec
def test_the_bytes_are_flat_and_the_same_every_time(name: str) -> None:
    one, two = make(name).encode(adapter(0.02, 1)), make(name).encode(adapter(0.02, 1))

    assert one.ndim == 1
    assert one.dtype == torch.uint8
    assert torch.equal(one, two)


@every_codec
def test_an_adapter_of_zeros_survives(name: str) -> None:
    codec, zeros = make(name), LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size))

    assert torch.equal(codec.decode(codec.encode(zeros), SPEC).flatten(), zeros.flatten())


@every_codec
@pytest.mark.parametrize("change", ["short", "long", "empty", "square", "dtype"])
def test_data_that_does_not_fit_the_spec_is_refused(name: str, change: str) -> None:
    codec = make(name)
    data = codec.encode(adapter(0.02, 1))
    wrong = {
        "short": data[:-1],
        "long": torch.cat([data, data[:1]]),
        "empty": data[:0],
        "square": data.reshape(1, -1),
        "dtype": data.to(torch.int32),
    }[change]

    with pytest.raises(FedloraError):
        codec.decode(wrong, SPEC)


@every_codec
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_mangled_data_is_refused_or_is_another_finite_adapter(
    name: str, data: st.DataObject
) -> None:
    codec = make(name)
    mangled = codec.encode(adapter(0.02, 1)).clone()
    for _ in range(data.draw(st.integers(1, 8))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    try:
        received = codec.decode(mangled, SPEC)
    except FedloraError:
        return

    assert bool(torch.isfinite(received.flatten()).all())


@every_codec
def test_a_misaligned_slice_of_a_frame_decodes(name: str) -> None:
    codec, sent = make(name), adapter(0.02, 1)
    data = codec.encode(sent)
    shifted = torch.cat([data[:1], data])[1:]

    assert torch.equal(codec.decode(shifted, SPEC).flatten(), codec.decode(data, SPEC).flatten())
