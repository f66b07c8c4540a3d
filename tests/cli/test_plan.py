"""A dry run predicts what a run then sends."""

import pytest
from PIL import Image

from fedlora.cli.plan import make_plan
from fedlora.client.client import Client
from fedlora.config import from_dict
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.wire.ledger import Entry
from tests.conftest import small_config
from tests.continual.conftest import save_small_vit

RUNS = {
    "controls, answers by another codec, and adapters given back": {
        "warm_start": {"aggregation": {"name": "scaffold"}},
        "codec_up": {"name": "int8"},
        "adoption": {"refine": "always", "contribute": True},
    },
    "halves": {"warm_start": {"rounds": 3, "aggregation": {"name": "rolora"}}},
    "what is folded into the base": {"warm_start": {"aggregation": {"name": "fedex"}}},
}


@pytest.mark.parametrize("name", RUNS)
def test_the_bytes_are_those_of_the_run(name, tmp_path):
    config = small_config(tasks={"bank": 4}, finetune={"epochs": 1}, **RUNS[name])
    federate(config, 0, InProcess(Client(config, 0).handle), tmp_path, Silent())
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    sent = sum(Entry.from_line(line).payload for line in lines)

    plan = make_plan(config, Silent())

    assert sent == sum(
        plan[f"bytes of {what}"]
        for what in ("training", "task vectors", "adapters for newcomers", "evaluation")
    )


def test_a_compressed_adapter_weighs_what_random_values_do():
    """Before training `up` is zero, which would compress to half."""
    plan = make_plan(small_config(codec={"name": "zstd", "inner": {"name": "none"}}), Silent())

    assert plan["bytes of one adapter"] > 0.85 * 4 * plan["trainable values"]


def test_a_budget_too_small_for_its_noise_is_told_by_the_dry_run():
    private = {"examples": {"epsilon": 1e-9}}
    with pytest.raises(FedloraError, match=r"privacy\.examples\.epsilon=1e-09: too little"):
        make_plan(small_config(privacy=private), Silent())


def test_clients_of_small_ranks_are_counted_as_such():
    mixed = {"lora": {"ranks": [1, 2]}, "warm_start": {"aggregation": {"name": "flexlora"}}}
    whole, less = (
        make_plan(small_config(**change), Silent())["bytes of training"] for change in ({}, mixed)
    )
    assert less < 0.9 * whole


def test_a_stream_of_images_in_other_channels_is_refused_before_the_run(tmp_path):
    for shade, name in enumerate(("ant", "bus", "car", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(9):
            colour = (60 * shade + number, 99, 20)
            Image.new("RGB", (9, 7), colour).save(tmp_path / "images" / name / f"{number}.png")
    model, images = save_small_vit(tmp_path / "model"), tmp_path / "images"
    raw = {
        "name": "colours",
        "backbone": {"name": str(model)},
        "lora": {"rank": 2, "alpha": 2, "targets": ["k_proj", "v_proj"]},
        "tasks": {
            "name": "class_stream",
            "source": {"name": "files", "path": str(images), "size": 8, "channels": 1},
        },
        "finetune": {"epochs": 1},
        "continual": {"method": {"name": "inflora"}},
    }

    assert make_plan(from_dict(raw, "test"), Silent())["tasks"] == 2
    raw["tasks"]["source"]["channels"] = 3
    with pytest.raises(FedloraError, match=r"backbone\.name: the model takes images of 1 channels"):
        make_plan(from_dict(raw, "test"), Silent())
