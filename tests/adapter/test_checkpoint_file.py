"""Adapters in other projects' checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

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


@pytest.mark.parametrize(
    "wrapper",
    ["model.", "net.", "student.inner.", "lightning_module._orig_mod.model.", "_orig_mod.module."],
)
def test_whatever_held_the_peft_model_is_no_part_of_a_layer_s_name(
    wrapper: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    held = state(f"{wrapper}base_model.model.model.", ".default.weight")
    torch.save({"state_dict": held}, tmp_path / "last.ckpt")
    names = {layer.name for layer in read_checkpoint(tmp_path / "last.ckpt").spec.layers}
    assert names == {"model.a.q", "model.a.v"}
    assert not recwarn.list


def test_a_part_that_may_have_held_the_base_model_is_kept_and_told(tmp_path: Path) -> None:
    torch.save({"state_dict": state("net.")}, tmp_path / "last.ckpt")
    with pytest.warns(UserWarning, match=r"begin with 'net\.'"):
        adapter = read_checkpoint(tmp_path / "last.ckpt")
    assert {layer.name for layer in adapter.spec.layers} == {"net.a.q", "net.a.v"}


class Holder(LightningModule):
    """A PEFT model in an attribute, as it is trained elsewhere."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.model(input_ids=batch, labels=batch).loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1)


def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=48,
        )
    )


def test_what_lightning_saved_of_a_peft_model_is_loaded_by_peft(tmp_path: Path) -> None:
    lora = LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["q_proj"])
    holder, tokens = Holder(get_peft_model(llama(), lora)), torch.arange(24).view(2, 12)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(holder, DataLoader([tokens], batch_size=None))
    trainer.save_checkpoint(tmp_path / "last.ckpt")

    adapter = read_checkpoint(tmp_path / "last.ckpt")
    peft_folder.save(adapter, tmp_path / "folder", "some/model", "CAUSAL_LM")
    loaded = PeftModel.from_pretrained(llama(), str(tmp_path / "folder")).eval()

    with torch.no_grad():
        trained = holder.model.eval()(input_ids=tokens).logits
        assert torch.equal(loaded(input_ids=tokens).logits, trained)
        assert not torch.equal(llama().eval()(input_ids=tokens).logits, trained)


class Payload:
    """What a pickle could run."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


def test_bad_files_are_refused_in_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": state(), "hyper": Payload()}, "evil.ckpt")
    torch.save({"weight": torch.ones(2)}, "base.pt")
    torch.save([1], "list.pt")
    torch.save(state("a.base_model.model.") | state("b.base_model.model."), "two.pt")
    torch.save({name: (9 * tensor).to(torch.int8) for name, tensor in state().items()}, "int8.pt")
    save_file({name: tensor.double() for name, tensor in state().items()}, "double.safetensors")
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
        "two.pt": "are of two adapters; save one alone",
        "int8.pt": r"layer 'a\.q' is of whole numbers .*save the adapter as float32",
        "double.safetensors": "save it as float32",
    }
    for name, message in cases.items():
        with pytest.raises(FedloraError, match=message) as caught:
            read_checkpoint(Path(name))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not Path("owned").exists()
