"""`model.type: clip_lora` in a run's configuration."""

import re
from pathlib import Path

import pytest

from fedlora import config as configuration
from fedlora.backbone import load_base
from fedlora.cli import main
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError
from fedlora.lora import create_model
from tests.lora.test_federation import objective

CONFIG = Path("configs/clip_lora.yaml")


def test_one_file_describes_a_run_and_a_model():
    run, model = configuration.load(CONFIG), create_model(CONFIG)

    assert (run.backbone.name, run.backbone.num_classes) == ("tiny_clip", 10)
    assert (run.lora.rank, run.lora.alpha) == (4, 8)
    assert (model.lora_config.r, model.lora_config.lora_alpha) == (4, 8)
    assert model.federated_model.num_classes == 10
    endings = {name.rpartition(".")[2] for name in model.injection.layers}
    assert endings == set(run.lora.targets)


def test_what_is_dumped_is_the_same_run(tmp_path):
    run = configuration.load(CONFIG, ["lora.r=8", "lora.target_components=[encoder,projection]"])
    (tmp_path / "again.yaml").write_text(configuration.dump(run))

    assert configuration.load(tmp_path / "again.yaml") == run
    assert run.lora.rank == 8
    assert run.lora.targets[-1] == "visual_projection"


@pytest.mark.parametrize(("override", "says"), [
    ("lora.rank=8", r"lora\.rank: unknown key; choose one of .*lora_alpha, .*r, "),
    ("model.num_classes=ten", r"model\.num_classes: .*'ten'"),
    ("model.name=tiny_clip", r"model\.name: unknown key"),
    ("model.type=clip", r"model\.type: .*'clip_lora'"),
    ("model.class_names=[a,b]", r"model\.class_names: tasks bring their own"),
    ("lora.enabled=false", r"lora\.enabled: a run trains adapters"),
    ("lora.target_components=[classifier]", r"lora\.target_components: a run adapts \[encoder\]"),
    ("lora.target_components=[]", r"lora\.target_components: .*at least 1"),
    ("lora.target_components=encoder", r"lora\.target_components: write \[encoder\]"),
    ("lora.bias=all", r"lora\.bias: a run shares factors alone"),
    ("lora.save_only_trainable=false", r"lora\.save_only_trainable: a run shares adapters"),
    ("backbone.name=tiny_clip", "model: it names the base model, as backbone does"),
])  # fmt: skip
def test_what_a_run_does_not_do_is_said_with_its_key(override, says):
    with pytest.raises(FedloraError, match=rf"^configs/clip_lora\.yaml: {says}") as caught:
        configuration.load(CONFIG, [override])
    assert "\n" not in str(caught.value)


def test_a_task_with_another_number_of_classes_is_refused():
    assert objective(["trouser", "dress"], num_classes=2).weight.shape == (2, 64)
    with pytest.raises(FedloraError, match="num_classes=2, but the task has 10 classes"):
        objective(num_classes=2)
    with pytest.raises(FedloraError, match="only for a CLIP, which 'tiny_vit' is not"):
        load_base(BackboneConfig(name="tiny_vit", num_classes=10))


@pytest.mark.parametrize(("override", "says"), [
    ("model.num_classes=5", r"model\.num_classes=5, but the task has 10 classes"),
    ("model.model_name=tiny_vit", r"model\.num_classes: only for a CLIP"),
    ("model.model_name=./none", r"model\.model_name: none has no config\.json"),
    ("lora.target_modules=[nothing]", r"lora\.target_modules: .*'nothing'"),
])  # fmt: skip
def test_what_a_run_finds_out_later_is_said_with_the_key_that_was_written(
    override, says, tmp_path, capfd, monkeypatch
):
    command = ["fedlora", "run", str(CONFIG), override, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    last = capfd.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2
    assert re.match(rf"error: configs/clip_lora\.yaml: {says}", last), last
