"""What is saved by name comes back, or says why not."""

import json

import numpy as np
import pytest
import torch

from fedlora.errors import FedloraError
from fedlora.lora import (
    CLIPLoRAWrapper,
    FederatedCLIPModel,
    LoRAConfig,
    LoRAConfigManager,
    LoRAModelManager,
    create_model,
)
from tests.lora.small import clip, wrapped

BAD_NAMES = ["", "a/b", "../a", "a\\b", ".hidden", "..", "a b", "x" * 81]


def same(one, two) -> bool:
    pairs = zip(one.get_parameters(), two.get_parameters(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_configuration_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = LoRAConfig(r=3, target_modules=["q_proj"], bias="all", save_only_trainable=False)

    LoRAConfigManager.save_config(config, "mine")

    assert LoRAConfigManager.load_config("mine") == config
    assert (tmp_path / "lora_configs" / "mine.json").is_file()
    with pytest.raises(FedloraError, match="no saved configuration 'mime'; did you mean 'mine'"):
        LoRAConfigManager.load_config("mime")


@pytest.mark.parametrize("text", ["{", "[]", '{"r": 0}', '{"rank": 2}', "\xff"])
def test_a_damaged_configuration_names_its_file(tmp_path, text):
    (tmp_path / "bad.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FedloraError, match=r"bad\.json: "):
        LoRAConfigManager.load_config("bad", folder=tmp_path)


@pytest.mark.parametrize("only", [True, False])
def test_a_model_comes_back(tmp_path, only):
    one = wrapped(save_only_trainable=only)
    two = CLIPLoRAWrapper(clip(), one.lora_config).apply_lora_to_federated_model()
    assert not same(one, two)

    LoRAModelManager.save_model(one, "mine", folder=tmp_path)
    assert LoRAModelManager.load_model("mine", two, folder=tmp_path) is two

    assert same(one, two)
    info = LoRAModelManager.get_model_info("mine", folder=tmp_path)
    assert (info["rank"], info["parameters"]) == (2, one.parameter_counts())
    assert info["bytes"] == (tmp_path / "mine" / "model.safetensors").stat().st_size
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == [
        "info.json", "model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(("other", "what"), [
    (lambda: wrapped(model=clip(width=8)), "architecture"),
    (lambda: wrapped(r=3), "rank"),
    (lambda: wrapped(lora_alpha=1), "alpha"),
    (lambda: wrapped(target_modules=["q_proj"]), "set of adapted layers"),
    (lambda: wrapped(("encoder", "projection")), "set of adapted layers"),
    (lambda: wrapped(model=clip(seed=5)), "base model"),
])  # fmt: skip
def test_a_model_of_another_kind_is_refused_and_nothing_changes(tmp_path, other, what):
    LoRAModelManager.save_model(wrapped(), "mine", folder=tmp_path)
    wrapper = other()
    before = wrapper.get_parameters()

    with pytest.raises(FedloraError, match=f"'mine' was saved with another {what}: "):
        LoRAModelManager.load_model("mine", wrapper, folder=tmp_path)

    after = wrapper.get_parameters()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_missing_or_damaged_model_is_named(tmp_path):
    wrapper = wrapped()
    with pytest.raises(FedloraError, match="no saved model 'mine'; none is saved there"):
        LoRAModelManager.load_model("mine", wrapper, folder=tmp_path)
    LoRAModelManager.save_model(wrapper, "mine", folder=tmp_path)
    with pytest.raises(FedloraError, match="no saved model 'mien'; did you mean 'mine'"):
        LoRAModelManager.get_model_info("mien", folder=tmp_path)
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(FedloraError, match=r"model\.safetensors: "):
        LoRAModelManager.load_model("mine", wrapper, folder=tmp_path)
    (tmp_path / "mine" / "info.json").write_text("[]")
    with pytest.raises(FedloraError, match="not a description"):
        LoRAModelManager.get_model_info("mine", folder=tmp_path)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_is_no_path(tmp_path, name):
    for act in (
        lambda: LoRAConfigManager.save_config(LoRAConfig(), name, folder=tmp_path),
        lambda: LoRAConfigManager.load_config(name, folder=tmp_path),
        lambda: LoRAModelManager.save_model(wrapped(), name, folder=tmp_path),
        lambda: LoRAModelManager.get_model_info(name, folder=tmp_path),
    ):
        with pytest.raises(FedloraError, match="no path"):
            act()
    assert list(tmp_path.iterdir()) == []


YAML = """
model: {type: clip_lora, model_name: tiny_clip, num_classes: 10}
lora: {r: 4, lora_alpha: 8, target_components: [encoder, classifier], save_only_trainable: true}
"""


def test_a_model_is_made_from_yaml(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML)

    wrapper = create_model(file)

    assert (wrapper.lora_config.r, wrapper.lora_config.lora_alpha) == (4, 8)
    assert "classifier" in wrapper.injection.layers
    file.write_text(YAML.replace("r: 4", "enabled: false"))
    assert type(create_model(str(file))) is FederatedCLIPModel


@pytest.mark.parametrize(("old", "new", "message"), [
    ("r: 4", "rank: 4", r"mine\.yaml: lora\.rank: unknown key"),
    ("clip_lora", "clip", r"mine\.yaml: model\.type: "),
    ("num_classes: 10", "num_classes: ten", r"mine\.yaml: model\.num_classes: "),
    (", num_classes: 10", "", r"mine\.yaml: model\.num_classes: missing"),
    ("encoder, class", "encodr, class", r"mine\.yaml: lora\.target_components"),
    ("tiny_clip", "tiny_vit", r"mine\.yaml: model\.model_name: .*no CLIP"),
    ("r: 4", "target_modules: [nothing]", r"mine\.yaml: lora\.target_modules: "),
    ("model:", "modle:", r"mine\.yaml: modle: unknown key; did you mean 'model'"),
    ("num_classes: 10", "num_classes: 10, templates: [x]",
     r"mine\.yaml: model\.templates\.0: put \{\} where"),
    ("num_classes: 10", "num_classes: 10, templates: 'a {}'",
     r"mine\.yaml: model\.templates: write \[a \{\}\], a list"),
    ("{type", "{{type", r"mine\.yaml: not a YAML mapping"),
])  # fmt: skip
def test_a_wrong_file_is_one_line_with_the_key(tmp_path, old, new, message):
    file = tmp_path / "mine.yaml"
    file.write_text(YAML.replace(old, new))
    with pytest.raises(FedloraError, match=message) as caught:
        create_model(file)
    assert "\n" not in str(caught.value)


def test_saved_files_do_not_depend_on_when_they_are_written(tmp_path):
    torch.manual_seed(0)
    first = wrapped()
    for name in ("a", "b"):
        LoRAModelManager.save_model(first, name, folder=tmp_path)
    files = [
        (tmp_path / name / file).read_bytes()
        for file in ("info.json", "model.safetensors")
        for name in ("a", "b")
    ]
    assert files[0] == files[1]
    assert files[2] == files[3]
    assert json.loads(files[0])["rank"] == 2


def test_a_trained_head_does_not_take_the_place_of_one_made_of_names(tmp_path):
    LoRAModelManager.save_model(wrapped(model=clip(names=None)), "trained", tmp_path)
    named = wrapped()
    before = [value.copy() for value in named.get_parameters()]
    head = named.federated_model.classifier.weight.clone()

    with pytest.raises(FedloraError, match=r"tensor 'classifier\.\w+' is none that this wrapper"):
        LoRAModelManager.load_model("trained", named, tmp_path)

    assert torch.equal(named.federated_model.classifier.weight, head)
    assert all(np.array_equal(a, b) for a, b in zip(before, named.get_parameters(), strict=True))


def test_a_run_s_file_without_a_model_says_that_it_is_missing():
    with pytest.raises(
        FedloraError, match=r"^configs/quickstart\.yaml: model: missing; write type"
    ):
        create_model("configs/quickstart.yaml")


def test_arguments_in_the_wrong_order_are_one_line(tmp_path):
    with pytest.raises(FedloraError, match=r"^name: give a string, not CLIPLoRAWrapper$"):
        LoRAModelManager.load_model(wrapped(), "mine", tmp_path)
    with pytest.raises(FedloraError, match=r"^config: give a LoRAConfig, not dict$"):
        LoRAConfigManager.save_config({"r": 4}, "mine", tmp_path)


def test_what_is_no_saved_wrapper_is_named(tmp_path):
    with pytest.raises(FedloraError, match="FederatedCLIPModel is not wrapped: wrap it"):
        LoRAModelManager.save_model(clip(), "plain", tmp_path)
    folder = LoRAModelManager.save_model(wrapped(), "mine", tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FedloraError, match=r"model\.safetensors: missing; save the model again"):
        LoRAModelManager.load_model("mine", wrapped(), tmp_path)
    (folder / "info.json").write_text("{}")
    with pytest.raises(FedloraError, match=r"info\.json: not a description"):
        LoRAModelManager.get_model_info("mine", tmp_path)
