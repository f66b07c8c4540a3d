"""Adapters in other projects' checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.errors import FedloraError

SPEC = AdapterSpec("unknown", (LayerSpec("a.q", 6, 5, 2), LayerSpec("a.v", 6, 4, 2)), 2.0)
ADAPTER = LoraAdapter.from_flat(
    SPEC, torch.randn(SPEC.size, generator=torch.Generator().manual_seed(0))
)


def state(prefix: str = "", end: str = ".weight") -> dict[str, torch.Tensor]:
    tensors = {}
    for layer in SPEC.layers:
        tensors[f"{prefix}{layer.name}.lora_A{end}"] = ADAPTER.down[layer.name]
        tensors[f"{prefix}{layer.name}.lora_B{end}"] = ADAPTER.up[layer.name]
    return tensors


def lightning(path: Path) -> None:
    held = state("module.base_model.model.", ".default.weight")
    held["module.base_model.model.a.q.base_layer.weight"] = torch.randn(5, 6)
    torch.save({"state_dict": held, "epoch": 3, "global_step": 12}, path)


FILES: dict[str, Callable[[Path], Any]] = {
    "last.ckpt": lightning,
    "plain.pt": lambda path: torch.save(state(), path),
    "loralib.bin": lambda path: torch.save({"model": state(end="")}, path),
    "peft.safetensors": lambda path: save_file(state("base_model.model."), path),
}


@pytest.mark.parametrize("name", FILES)
def test_every_convention_gives_the_same_adapter(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    assert read_checkpoint(tmp_path / name).digest() == ADAPTER.digest()
    assert read_checkpoint(tmp_path / name, alpha=8.0).spec.alpha == 8.0


def test_a_peft_folder_says_its_own_base(tmp_path: Path) -> None:
    peft_folder.save(ADAPTER, tmp_path / "folder", "some/model", None)
    assert read_checkpoint(tmp_path / "folder").digest() == ADAPTER.digest()
    (tmp_path / "folder" / peft_folder.SIDECAR).unlink()
    assert read_checkpoint(tmp_path / "folder").spec.base == "some/model"


class Payload:
    """What a pickle could run."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


def test_bad_files_are_refused_in_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": state(), "hyper": Payload()}, "evil.ckpt")
    torch.save({"weight": torch.ones(2)}, "base.pt")
    torch.save([1], "list.pt")
    mixed = state() | {"a.k.lora_A.weight": torch.ones(3, 6), "a.k.lora_B.weight": torch.ones(4, 3)}
    torch.save(mixed, "mixed.pt")
    torch.save(state() | {"a.v.lora_B.weight": torch.full((4, 2), torch.nan)}, "nan.pt")
    Path("torn.ckpt").write_bytes(Path("evil.ckpt").read_bytes()[:300])
    Path("torn.safetensors").write_bytes(b"\x10")
    cases = {
        "evil.ckpt": "more than tensors",
        "base.pt": "no LoRA tensors among 1",
        "list.pt": "holds a list",
        "mixed.pt": r"ranks \[2, 3\]",
        "nan.pt": "NaN",
        "torn.ckpt": "damaged",
        "torn.safetensors": "cut short",
        "none.pt": "no such checkpoint",
    }
    for name, message in cases.items():
        with pytest.raises(FedloraError, match=message) as caught:
            read_checkpoint(Path(name))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not Path("owned").exists()
