"""Adapters in files that say nothing of their task."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bank import Bank, plain_arrivals
from fedlora.bank.plain_files import read_plain
from fedlora.errors import FedloraError
from tests.bank.bringing import bring

LAYERS = (LayerSpec("model.a.q", 10, 8, 3), LayerSpec("model.a.v", 10, 6, 3))
SPEC = AdapterSpec(base="b" * 64, layers=LAYERS, alpha=6.0)


def adapter(seed: int) -> LoraAdapter:
    draw = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(SPEC, torch.randn(SPEC.size, generator=draw))


def peft_tensors(made: LoraAdapter, old: str = "model.") -> dict[str, Tensor]:
    tensors = {}
    for name in made.down:
        path = f"base_model.model.{name.replace('model.', old)}"
        tensors[f"{path}.lora_A.weight"] = made.down[name]
        tensors[f"{path}.lora_B.weight"] = made.up[name]
    return tensors


def flattened(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What ICM-LoRA's normalisation writes: every tensor by its own mean and standard deviation."""
    held: dict[str, Any] = {
        name: {
            "mean": tensor.mean().item(),
            "std": tensor.std().item(),
            "length": tensor.numel(),
            "shape": tensor.shape,
        }
        for name, tensor in tensors.items()
    }
    values = [((t - t.mean()) / t.std()).flatten() for t in tensors.values()]
    return held | {"data": torch.cat(values)}


def test_safetensors_of_a_task_become_its_samples(tmp_path: Path):
    for epoch in (98, 99):
        save_file(peft_tensors(adapter(epoch)), tmp_path / f"adapter_model_{epoch}.safetensors")
    bank = Bank.open(tmp_path / "bank", SPEC, create=True)

    first = bring(bank, plain_arrivals(bank, tmp_path, "dog", torch.ones(4), {}))
    again = bring(bank, plain_arrivals(bank, tmp_path, "dog", torch.ones(4), {}))

    assert first == again == [adapter(98).digest(), adapter(99).digest()]
    assert [(r.task, r.sample, r.rank) for r in bank.records()] == [("dog", 98, 3), ("dog", 99, 3)]


def test_a_flattened_adapter_comes_back_as_it_was(tmp_path: Path):
    file = tmp_path / "normalized_adapter_model_7.pth"
    torch.save(flattened(peft_tensors(adapter(7))), file)

    read = read_plain(file, SPEC, {})

    assert read.spec == SPEC
    assert torch.allclose(read.flatten(), adapter(7).flatten(), atol=1e-6)


def test_layers_are_renamed_by_the_longest_beginning(tmp_path: Path):
    file = tmp_path / "adapter_model_1.safetensors"
    save_file(peft_tensors(adapter(1), "language_model.model."), file)

    bank = Bank.open(tmp_path / "bank", SPEC, create=True)

    with pytest.raises(FedloraError, match="other layers"):
        bring(bank, plain_arrivals(bank, file, "dog", torch.ones(4), {"language": "model"}))
    read = read_plain(file, SPEC, {"language_model": "x", "language_model.model": "model"})

    assert read.digest() == adapter(1).digest()


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code has run",)


@pytest.mark.parametrize(
    "content",
    [Hostile(), [1, 2], {"data": torch.ones(3)}, {"data": torch.ones(3), "x": {"length": 2}}, {}],
)
def test_a_file_of_something_else_is_refused_and_runs_nothing(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "sample_1.pth"
    torch.save(content, file)

    with pytest.raises(FedloraError, match=r"sample_1\.pth"):
        read_plain(file, SPEC, {})
    assert "code has run" not in capsys.readouterr().out


def test_what_is_no_adapter_is_refused(tmp_path: Path):
    (tmp_path / "adapter.safetensors").write_bytes(b"no")
    with pytest.raises(FedloraError, match="copy it again"):
        read_plain(tmp_path / "adapter.safetensors", SPEC, {})
    bank = Bank.open(tmp_path / "bank", SPEC, create=True)
    with pytest.raises(FedloraError, match="no adapter there"):
        bring(bank, plain_arrivals(bank, tmp_path / "bank", "dog", torch.ones(4), {}))
