"""A folder of ours is a folder of PEFT's, to the last bit of a model's outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.backbone.load import load_base
from fedlora.backbone.slot import AdapterSlot
from fedlora.config import BackboneConfig, LoraSection
from fedlora.finetune.local import put, spec_of
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.objectives.tokens import tokenize
from tests.adapters import random_adapter

BASE = "b" * 64
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
TOKENS = torch.arange(24).reshape(2, 12) % 50
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


def bert() -> Any:
    torch.manual_seed(0)
    return BertModel(BertConfig(vocab_size=50, **SMALL)).eval()


def bert_classifier() -> Any:
    torch.manual_seed(0)
    labels: Any = {"num_labels": 3}
    return BertForSequenceClassification(BertConfig(vocab_size=50, **labels, **SMALL)).eval()


def vit() -> Any:
    torch.manual_seed(0)
    labels: Any = {"num_labels": 4}
    config = ViTConfig(image_size=16, patch_size=8, **labels, **SMALL)
    return ViTForImageClassification(config).eval()


def llama() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=1, **SMALL)).eval()


def attention(model: nn.Module) -> list[str]:
    """The model's own names for its query and value projections."""
    ends = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    return sorted(ends & {"query", "value", "q_proj", "v_proj"})


Case = tuple[Callable[[], Any], str | None, list[str] | None]
CASES: dict[str, Case] = {
    "bert": (bert, "FEATURE_EXTRACTION", None),
    "bert with a head": (bert_classifier, "SEQ_CLS", ["classifier"]),
    "vit": (vit, None, None),
    "vit with a head": (vit, None, ["classifier"]),
    "llama": (llama, "CAUSAL_LM", None),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def wrap(case: Case, **options: Any) -> Any:
    """Plain PEFT, every trainable value random."""
    make, task_type, modules = case
    model = make()
    config = LoraConfig(
        **{
            "r": 4,
            "lora_alpha": 6,
            "target_modules": attention(model),
            "task_type": task_type,
            "modules_to_save": modules,
            **options,
        }
    )
    wrapped = get_peft_model(model, config).eval()
    draw = torch.Generator().manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=draw)
    return wrapped


def outputs(model: Any) -> Any:
    with torch.no_grad():
        vision = "vit" in str(getattr(model, "config", {})).lower()
        out = model(pixel_values=IMAGES) if vision else model(input_ids=TOKENS)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def through_ours(wrapped: Any, folder: Path, case: Case) -> LoraAdapter:
    """Plain PEFT's folder, read and written again by us."""
    wrapped.save_pretrained(folder / "theirs")
    adapter = peft_folder.load(folder / "theirs", BASE)
    peft_folder.save(adapter, folder / "ours", "org/base", case[1], "Task: a.")
    return adapter


@every_case
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"^.*0.*(query|q_proj)": 2}},
        {"alpha_pattern": {"query": 12, "q_proj": 12}},
    ],
    ids=["plain", "rslora", "mixed ranks", "mixed alphas"],
)
def test_plain_peft_gets_the_same_outputs_from_our_folder(
    tmp_path: Path, case: Case, options: dict[str, Any]
) -> None:
    wrapped = wrap(case, **options)
    adapter = through_ours(wrapped, tmp_path, case)
    ranks = {layer.rank for layer in adapter.spec.layers}
    base = case[0]()
    untouched = outputs(base)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "ours")).eval()

    assert torch.equal(outputs(loaded), outputs(wrapped))
    assert (outputs(loaded) - untouched).abs().max() > 1e-3
    assert ranks == ({2, 4} if "rank_pattern" in options else {4})


@every_case
def test_our_adapter_is_what_plain_peft_holds(tmp_path: Path, case: Case) -> None:
    wrapped = wrap(case)
    adapter = through_ours(wrapped, tmp_path, case)
    held = dict(wrapped.base_model.model.named_parameters())

    assert adapter.spec.base == BASE
    assert {layer.name for layer in adapter.spec.layers} == {
        name.removesuffix(".lora_A.default.weight") for name in held if "lora_A" in name
    }
    for layer in adapter.spec.layers:
        module = wrapped.base_model.model.get_submodule(layer.name)
        assert torch.equal(adapter.down[layer.name], held[f"{layer.name}.lora_A.default.weight"])
        assert torch.equal(adapter.up[layer.name], held[f"{layer.name}.lora_B.default.weight"])
        assert adapter.spec.scaling(layer) == module.scaling["default"]
    theirs = load_file(tmp_path / "theirs" / "adapter_model.safetensors")
    ours = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert peft_folder.load(tmp_path / "ours", BASE).digest() == adapter.digest()


def test_plain_transformers_loads_a_causal_model_from_our_folder(tmp_path: Path) -> None:
    case = CASES["llama"]
    wrapped = wrap(case)
    base = case[0]()
    base.save_pretrained(tmp_path / "base")
    wrapped.save_pretrained(tmp_path / "theirs")
    adapter = peft_folder.load(tmp_path / "theirs", BASE)
    peft_folder.save(adapter, tmp_path / "ours", str(tmp_path / "base"), "CAUSAL_LM")

    by_folder = AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    base.load_adapter(str(tmp_path / "ours"))

    assert torch.equal(outputs(by_folder), outputs(wrapped))
    assert torch.equal(outputs(base.eval()), outputs(wrapped))


class Nested(nn.Module):
    """Layers whose names end in one another's."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(6, 6)
        self.qx = nn.Linear(6, 6)
        deep = nn.ModuleDict({"inner": nn.ModuleDict({"q": nn.Linear(6, 6)})})
        self.inner = nn.ModuleDict({"q": nn.Linear(6, 6), "deep": deep})


@pytest.mark.parametrize("names", [["inner.q"], ["inner.q", "q"], ["inner.deep.inner.q", "q"]])
def test_no_layer_but_those_named_is_adapted(tmp_path: Path, names: list[str]) -> None:
    layers = tuple(LayerSpec(name, 6, 6, rank) for rank, name in enumerate(sorted(names), 1))
    spec = AdapterSpec(BASE, layers, alpha=3.5)
    adapter = LoraAdapter.from_flat(spec, torch.linspace(-1, 1, spec.size))
    peft_folder.save(adapter, tmp_path / "a", "org/base", None)
    base = Nested()
    expected = {
        n: m.weight.detach().clone() for n, m in base.named_modules() if isinstance(m, nn.Linear)
    }
    for name in names:
        expected[name] += adapter.delta(name)
    merged: Any = PeftModel.from_pretrained(base, str(tmp_path / "a"))
    adapted = {n for n, m in merged.base_model.model.named_modules() if hasattr(m, "lora_A")}
    plain = merged.merge_and_unload()

    assert adapted == set(names)
    for name, weight in expected.items():
        assert torch.allclose(plain.get_submodule(name).weight, weight, atol=1e-6)


def test_a_folder_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    adapter = through_ours(wrap(CASES["bert with a head"]), tmp_path, CASES["bert with a head"])
    peft_folder.save(adapter, tmp_path / "again", "org/base", "SEQ_CLS", "Task: a.")
    for path in (tmp_path / "ours").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def as_the_card_says(folder: Path) -> Any:
    card = ModelCard.load(folder / "README.md")
    code = card.text.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) == 4
    scope: dict[str, Any] = {}
    exec(code.replace("PATH_OF_THIS_FOLDER", str(folder)), scope)
    return scope["model"].eval()


@pytest.mark.parametrize("labels", [("left", "middle", "right"), ("coat", "bag")])
def test_a_head_of_other_labels_than_the_model_s_is_loaded_as_the_card_says(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    base = load_base(BackboneConfig(name="tiny_vit"))
    slot = AdapterSlot(base, LoraSection(rank=2), torch.device("cpu"))
    objective = objective_for(slot, "image-classification", labels, True, 32)
    adapter = random_adapter(spec_of(objective), scale=0.1)
    peft_folder.save(adapter, tmp_path / "a", base.reference, base.task_type)

    put(objective, adapter)
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        ours = objective.logits({"pixel_values": images})
        assert torch.equal(as_the_card_says(tmp_path / "a")(pixel_values=images).logits, ours)


def test_a_clip_s_adapter_is_loaded_into_its_vision_tower_and_projection(tmp_path: Path) -> None:
    slot = AdapterSlot(
        load_base(BackboneConfig(name="tiny_clip")),
        LoraSection(rank=2, targets=("q_proj", "visual_projection")),
        torch.device("cpu"),
    )
    adapter = random_adapter(slot.spec, scale=0.1)
    peft_folder.save(adapter, tmp_path / "a", slot.base.reference, slot.base.task_type)

    slot.write(adapter)
    images = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        ours = slot.model(pixel_values=images).image_embeds
        assert torch.equal(as_the_card_says(tmp_path / "a")(pixel_values=images).image_embeds, ours)


def test_a_text_encoder_s_adapter_is_loaded_without_the_head_of_its_labels(tmp_path: Path) -> None:
    base = load_base(BackboneConfig(name="minilm"))
    slot = AdapterSlot(base, LoraSection(rank=2), torch.device("cpu"))
    objective = objective_for(slot, "text-classification", ("good", "bad"), True, 32)
    adapter = random_adapter(spec_of(objective), scale=0.1)
    peft_folder.save(adapter, tmp_path / "a", base.reference, base.task_type)

    put(objective, adapter)
    rows = tokenize(slot, ["a good text"], 32)
    with torch.no_grad():
        ours = slot.model(**rows).last_hidden_state
        assert torch.equal(as_the_card_says(tmp_path / "a")(**rows).last_hidden_state, ours)


def test_the_card_says_how_to_load_it_and_its_four_lines_do(tmp_path: Path) -> None:
    wrapped = wrap(CASES["llama"])
    base = CASES["llama"][0]()
    base.save_pretrained(tmp_path / "base")
    wrapped.save_pretrained(tmp_path / "theirs")
    adapter = peft_folder.load(tmp_path / "theirs", BASE)
    peft_folder.save(adapter, tmp_path / "ours", str(tmp_path / "base"), "CAUSAL_LM", "<b>42</b>")
    card = ModelCard.load(tmp_path / "ours" / "README.md")
    loaded = as_the_card_says(tmp_path / "ours")

    assert torch.equal(outputs(loaded), outputs(wrapped))
    assert card.data.library_name == "peft"
    for fact in (adapter.digest(), BASE, "&lt;b&gt;42&lt;/b&gt;"):
        assert fact in card.text


@pytest.mark.parametrize("known", [True, False])
def test_without_a_task_type_the_base_model_itself_says_how_it_is_loaded(
    tmp_path: Path, known: bool
) -> None:
    wrapped = wrap(CASES["bert"])
    base = CASES["bert"][0]()
    base.save_pretrained(tmp_path / "base")
    wrapped.save_pretrained(tmp_path / "theirs")
    adapter = peft_folder.load(tmp_path / "theirs", BASE)
    peft_folder.save(adapter, tmp_path / "ours", str(tmp_path / "base") if known else None, None)

    if known:
        assert torch.equal(outputs(as_the_card_says(tmp_path / "ours")), outputs(wrapped))
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "ours")).eval()
    assert torch.equal(outputs(loaded), outputs(wrapped))
    card = ModelCard.load(tmp_path / "ours" / "README.md").text
    assert ("base = ..." in card) != known
    assert "ImageClassification" not in card


def test_the_order_of_a_head_survives(tmp_path: Path) -> None:
    spec = AdapterSpec(
        BASE,
        (LayerSpec("q", 6, 6, 2),),
        4,
        head=(("classifier.weight", (3, 6)), ("classifier.bias", (3,))),
    )
    adapter = LoraAdapter.from_flat(spec, torch.linspace(-1, 1, spec.size))
    peft_folder.save(adapter, tmp_path / "a", "org/base", "SEQ_CLS")

    assert peft_folder.load(tmp_path / "a", BASE).digest() == adapter.digest()


def test_an_adapter_of_the_embedded_vit_works_outside_fedlora(tmp_path: Path) -> None:
    slot = AdapterSlot(
        load_base(BackboneConfig(name="tiny_vit")), LoraSection(rank=4), torch.device("cpu")
    )
    adapter = random_adapter(slot.spec, scale=0.1)
    slot.write(adapter)
    peft_folder.save(adapter, tmp_path / "a", slot.base.reference, None)

    plain: Any = AutoModelForImageClassification.from_pretrained(slot.base.reference)
    loaded: Any = PeftModel.from_pretrained(plain, str(tmp_path / "a")).eval()
    plain.classifier = nn.Identity()
    images = torch.rand(2, plain.config.num_channels, 28, 28)
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, slot.model(images).logits)
