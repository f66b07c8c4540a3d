"""A base model is the same model wherever it is loaded."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from fedlora.backbone import load, load_base
from fedlora.backbone.weights import locate
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError
from fedlora.lora import FederatedCLIPModel


def test_a_checkpoint_without_a_pooler_is_one_base_model_in_every_process(tmp_path):
    AutoTokenizer.from_pretrained(locate("minilm")).save_pretrained(tmp_path)
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path)

    torch.manual_seed(1)
    one = load_base(BackboneConfig(name=str(tmp_path)))
    torch.manual_seed(2)
    other = load_base(BackboneConfig(name=str(tmp_path)))

    assert one.model.pooler.dense.weight.shape == (8, 8)
    assert one.digest == other.digest


@pytest.mark.parametrize(("name", "spoil"), [
    ("tiny_vit", "config.json"),
    ("tiny_vit", "model.safetensors"),
    ("tiny_clip", "model.safetensors"),
    ("tiny_clip", "tokenizer.json"),
    ("minilm", "tokenizer.json"),
])  # fmt: skip
def test_a_folder_with_a_file_cut_off_is_one_line(name, spoil, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(locate(name), folder)
    file = folder / spoil
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    with pytest.raises(FedloraError, match=rf"^backbone\.name: '.*{spoil}'.*; restore") as caught:
        load_base(BackboneConfig(name=str(folder)))
    assert "\n" not in str(caught.value)


def test_a_clip_cut_off_is_one_line_for_who_names_it_in_a_script(tmp_path):
    shutil.copytree(locate("tiny_clip"), tmp_path / "clip")
    weights = tmp_path / "clip" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(FedloraError, match=r"^model_name: '.*model\.safetensors' cannot be read"):
        FederatedCLIPModel(str(tmp_path / "clip"), 3)


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda t: t.pop("visual_projection.weight"), "its weights lack 'visual_projection.weight'"),
    (lambda t: t["logit_scale"].fill_(torch.nan), "its 'logit_scale' holds NaN"),
    (lambda t: t.update({"text_projection.weight": torch.zeros(3, 3)}), "text_projection.weight"),
])  # fmt: skip
def test_a_clip_without_all_its_weights_is_none(spoil, says, tmp_path):
    shutil.copytree(locate("tiny_clip"), tmp_path / "clip")
    tensors = load_file(tmp_path / "clip" / "model.safetensors")
    spoil(tensors)
    save_file(tensors, tmp_path / "clip" / "model.safetensors", {"format": "pt"})

    with pytest.raises(FedloraError, match=rf"cannot be loaded \(.*{says}"):
        load_base(BackboneConfig(name=str(tmp_path / "clip")))


def test_a_conversion_shows_no_bar(tmp_path, monkeypatch, capfd):
    """transformers unpacks GGUF under a bar of tqdm's own, which none of its settings reaches."""

    small = BertForMaskedLM(BertConfig(hidden_size=8, num_hidden_layers=1, vocab_size=9,
                                       num_attention_heads=2, intermediate_size=8))  # fmt: skip

    def unpacked(*_, **__):
        list(tqdm(range(3), desc="de-quantizing"))
        return small

    (tmp_path / "model.gguf").touch()
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(load.AutoModelForCausalLM, "from_pretrained", unpacked)
    monkeypatch.setattr(load.AutoTokenizer, "from_pretrained", lambda *_, **__: small)
    assert load._converted(tmp_path).startswith(str(tmp_path / "cache"))
    assert "de-quantizing" not in capfd.readouterr().err
