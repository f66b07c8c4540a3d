"""The original's JSON configurations, and what is not carried over."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import ViTConfig, ViTForImageClassification

from fedlora.config import load
from fedlora.lora.targets import find_layers

ROOT = Path(__file__).parents[2]
ORIGINAL = {
    "prefix": "reproduce",
    "dataset": "cifar100_vit",
    "shuffle": True,
    "init_cls": 10,
    "increment": 10,
    "model_name": "InfLoRA",
    "net_type": "sip",
    "device": ["0"],
    "lamb": 0.95,
    "lame": 1.0,
    "rank": 10,
    "total_sessions": 10,
    "seed": [0],
    "epochs": 20,
    "batch_size": 128,
    "lrate": 0.0005,
    "optim": "adam",
}


def convert(tmp_path, raw):
    file = tmp_path / "original.json"
    file.write_text(json.dumps(raw))
    script = ROOT / "scripts" / "convert_inflora.py"
    return subprocess.run(
        [sys.executable, script, file, "--data", "data/cifar"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )


def test_a_configuration_of_the_original_becomes_one_of_ours(tmp_path):
    done = convert(tmp_path, ORIGINAL)
    assert done.returncode == 0, done.stderr
    (tmp_path / "ours.yaml").write_text(done.stdout)
    config = load(tmp_path / "ours.yaml")
    options = config.continual.method.options()
    assert (config.lora.rank, config.lora.alpha, config.finetune.epochs) == (10, 10, 20)
    assert (options.threshold_first, options.threshold_last) == (0.95, 1.0)
    assert yaml.safe_load(done.stdout)["tasks"]["classes_per_task"] == 10
    assert "not carried over: optim='adam'" in done.stderr
    vit = ViTForImageClassification(
        ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )
    assert find_layers(vit, config.lora.targets)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_name": "L2P"}, "model_name: 'L2P'"),
        ({"dataset": "core50"}, "dataset: 'core50'"),
        ({"init_cls": 50}, "init_cls: tasks here have classes alike"),
        ({"total_sessions": 5}, "total_sessions: 100 classes are 10 tasks"),
        ({"init_cls": 0, "increment": 0}, "increment: 0 is no number of classes"),
    ],
)
def test_what_has_no_counterpart_is_refused(change, said, tmp_path):
    done = convert(tmp_path, ORIGINAL | change)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_that_is_no_object_is_one_line(tmp_path):
    done = convert(tmp_path, [1, 2])
    assert (done.returncode, done.stderr) == (
        2,
        "error: give a JSON object of settings, not list\n",
    )


def test_a_setting_that_another_overrules_is_named(tmp_path):
    done = convert(tmp_path, ORIGINAL | {"init_epoch": 5, "init_lr": 0.01})
    assert yaml.safe_load(done.stdout)["finetune"]["epochs"] == 20
    for said in ("not carried over: init_epoch=5", "not carried over: init_lr=0.01"):
        assert said in done.stderr
