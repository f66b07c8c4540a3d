"""The floating-point formats: their sizes, and where they end."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.config import CodecPart
from fedlora.errors import FedloraError

SPEC = AdapterSpec(base="b", layers=(LayerSpec("q", 8, 8, 2),), alpha=4.0)


@pytest.mark.parametrize(("name", "width"), [("none", 4), ("fp16", 2), ("bf16", 2)])
def test_a_value_takes_its_width_and_nothing_is_added(name: str, width: int) -> None:
    data = CodecPart(name=name).build().encode(LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size)))

    assert len(data) == width * SPEC.size


@pytest.mark.parametrize(("name", "value"), [("fp16", 65520.0), ("bf16", 3.4e38)])
def test_a_value_that_would_overflow_is_refused(name: str, value: float) -> None:
    values = torch.ones(SPEC.size)
    values[3] = value
    with pytest.raises(FedloraError, match="choose the codec 'none'"):
        CodecPart(name=name).build().encode(LoraAdapter.from_flat(SPEC, values))


@pytest.mark.parametrize("name", ["none", "fp16", "bf16"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_infinity_that_arrives_is_refused(name: str, bad: float) -> None:
    dtype = {"none": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[name]
    data = torch.full((SPEC.size,), bad, dtype=dtype).view(torch.uint8)
    with pytest.raises(FedloraError, match=r"not finite|NaN or infinity"):
        CodecPart(name=name).build().decode(data, SPEC)


def test_float32_travels_bit_for_bit() -> None:
    values = torch.randn(SPEC.size, generator=torch.Generator().manual_seed(0))
    values[0] = -0.0
    codec = CodecPart(name="none").build()
    back = codec.decode(codec.encode(LoraAdapter.from_flat(SPEC, values)), SPEC).flatten()

    assert torch.equal(back.view(torch.int32), values.view(torch.int32))


def test_a_decoded_adapter_keeps_nothing_of_the_frame() -> None:
    codec = CodecPart(name="none").build()
    data = codec.encode(LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size)))
    back = codec.decode(data, SPEC)
    data.zero_()

    assert torch.equal(back.flatten(), torch.ones(SPEC.size))
