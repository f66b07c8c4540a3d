"""A folder of ours is a folder of PEFT's, to the last bit of a model's outputs."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
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
from fedlora.errors import FedloraError

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


def test_the_card_says_how_to_load_it_and_its_four_lines_do(tmp_path: Path) -> None:
    wrapped = wrap(CASES["llama"])
    base = CASES["llama"][0]()
    base.save_pretrained(tmp_path / "base")
    wrapped.save_pretrained(tmp_path / "theirs")
    adapter = peft_folder.load(tmp_path / "theirs", BASE)
    peft_folder.save(adapter, tmp_path / "ours", str(tmp_path / "base"), "CAUSAL_LM", "<b>42</b>")
    card = ModelCard.load(tmp_path / "ours" / "README.md")
    code = card.text.split("```python\n")[1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(code.replace("PATH_OF_THIS_FOLDER", str(tmp_path / "ours")), scope)

    assert len(code.strip().splitlines()) == 4
    assert torch.equal(outputs(scope["model"].eval()), outputs(wrapped))
    assert card.data.library_name == "peft"
    for fact in (adapter.digest(), BASE, "&lt;b&gt;42&lt;/b&gt;"):
        assert fact in card.text


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    spec = AdapterSpec(BASE, (LayerSpec("q", 6, 6, 2),), 4.0)
    adapter = LoraAdapter.from_flat(spec, torch.linspace(-1, 1, spec.size))
    peft_folder.save(adapter, tmp_path / "a", "org/base", None)
    return tmp_path / "a"


def change(folder: Path, **keys: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"use_dora": True}, "'use_dora' is set; only plain LoRA"),
        ({"bias": "all"}, "'bias' is set"),
        ({"layer_replication": [[0, 1]]}, "'layer_replication' is set"),
        ({"something_of_the_future": 1}, "'something_of_the_future' is set"),
        ({"init_lora_weights": "pissa"}, "changes the base model"),
        ({"peft_type": "LOHA"}, "peft_type is not LORA"),
        ({"lora_alpha": "16"}, "an alpha is not a positive number"),
        ({"lora_alpha": -1}, "an alpha is not a positive number"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "name the layer in full"),
        ({"alpha_pattern": {"": 3}}, "name the layer in full"),
        ({"modules_to_save": [1]}, "not a list of names"),
        ({"lora_alpha": 5}, "is not what was written"),
    ],
)
def test_a_configuration_beyond_plain_lora_is_refused(
    ours: Path, keys: dict[str, Any], reason: str
) -> None:
    change(ours, **keys)
    with pytest.raises(FedloraError, match=reason.replace("(", r"\(")) as caught:
        peft_folder.load(ours, BASE)
    assert "\n" not in str(caught.value)
    assert str(ours) in str(caught.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[" * 50_000, b"\xff\xfe", b"[]"])
def test_a_missing_or_damaged_file_is_one_line(
    ours: Path, name: str, content: bytes | None
) -> None:
    (ours / name).unlink()
    if content is not None:
        (ours / name).write_bytes(content)
    with pytest.raises(FedloraError, match=name) as caught:
        peft_folder.load(ours, BASE)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused_unread(ours: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.exit, ("the pickle was read",)

    (ours / "adapter_model.safetensors").unlink()
    (ours / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FedloraError, match="is a pickle"):
        peft_folder.load(ours, BASE)


def test_an_adapter_of_another_base_is_refused(ours: Path) -> None:
    with pytest.raises(FedloraError, match="another base model"):
        peft_folder.load(ours, "c" * 64)


def test_other_values_than_were_written_are_refused_or_believed_on_request(ours: Path) -> None:
    tensors = load_file(ours / "adapter_model.safetensors")
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, ours / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(FedloraError, match="is not what was written"):
        peft_folder.load(ours, BASE)
    (ours / "fedlora.json").unlink()

    assert torch.equal(
        peft_folder.load(ours, BASE).down["q"], changed["base_model.model.q.lora_A.weight"]
    )


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "no LoRA layer"),
        ({"q.lora_A.weight": (2, 6)}, "two matrices of one rank"),
        ({"q.lora_A.weight": (2, 6), "q.lora_B.weight": (6, 3)}, "two matrices of one rank"),
        ({"q.lora_B.weight": (6, 3)}, "neither LoRA of a linear layer nor a head"),
        ({"c.lora_A.weight": (2, 6, 3, 3), "c.lora_B.weight": (6, 2, 1, 1)}, "two matrices"),
        ({"e.lora_embedding_A": (2, 6)}, "neither LoRA of a linear layer nor a head"),
        ({"q.lora_A.weight": (7, 6), "q.lora_B.weight": (6, 7)}, "does not fit layer 'q'"),
        ({"classifier.weight": (7, 6)}, "neither LoRA of a linear layer nor a head"),
    ],
)
def test_tensors_that_are_no_plain_lora_are_refused(
    ours: Path, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    save_file(
        {f"base_model.model.{name}": torch.ones(shape) for name, shape in tensors.items()},
        ours / "adapter_model.safetensors",
    )
    with pytest.raises(FedloraError, match=reason):
        peft_folder.load(ours, BASE)


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


def test_a_head_in_no_module_is_refused(tmp_path: Path) -> None:
    spec = AdapterSpec(BASE, (LayerSpec("q", 6, 6, 2),), 4.0, head=(("weight", (3, 6)),))
    adapter = LoraAdapter.from_flat(spec, torch.ones(spec.size))
    with pytest.raises(FedloraError, match="is in no module"):
        peft_folder.save(adapter, tmp_path / "a", "org/base", None)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_of_the_embedded_vit_works_outside_fedlora(tmp_path: Path) -> None:
    slot = AdapterSlot(
        load_base(BackboneConfig(name="tiny_vit")), LoraSection(rank=4), torch.device("cpu")
    )
    draw = torch.Generator().manual_seed(0)
    adapter = LoraAdapter.from_flat(slot.spec, torch.randn(slot.spec.size, generator=draw) / 10)
    slot.write(adapter)
    peft_folder.save(adapter, tmp_path / "a", slot.base.reference, None)

    plain: Any = AutoModelForImageClassification.from_pretrained(slot.base.reference)
    loaded: Any = PeftModel.from_pretrained(plain, str(tmp_path / "a")).eval()
    plain.classifier = nn.Identity()
    images = torch.rand(2, plain.config.num_channels, 28, 28, generator=draw)
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, slot.model(images).logits)


ODD: list[Any] = [None, True, -1, 0, 10**400, "x", "\ud800", [], [1], {}, {"q": "x"}, [[[]]]]


@given(st.data())
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mangled_folder_is_refused_in_one_line_or_is_a_sound_adapter(
    ours: Path, data: st.DataObject
) -> None:
    path = ours / data.draw(
        st.sampled_from(["adapter_config.json", "adapter_model.safetensors", "fedlora.json"])
    )
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if path.suffix == ".json" and data.draw(st.booleans()):
        raw = json.loads(whole)
        node = raw.get("spec", raw)
        node[data.draw(st.sampled_from(sorted(node)))] = data.draw(st.sampled_from(ODD))
        path.write_text(json.dumps(raw))
    else:
        inserted = data.draw(st.binary(max_size=4))
        path.write_bytes(whole[:place] + inserted + whole[place + data.draw(st.integers(0, 4)) :])
    try:
        adapter = peft_folder.load(ours, BASE)
    except FedloraError as error:
        message = str(error)
        assert "\n" not in message
        assert str(ours) in message
    else:
        assert bool(torch.isfinite(adapter.flatten()).all())
    finally:
        path.write_bytes(whole)
