"""A stream of tasks ends alike wherever its clients are."""

import pytest

from fedlora import run_folder
from fedlora.config import RunConfig, from_dict
from fedlora.runtime import run as running
from fedlora.server.observer import Silent


def stream(**runtime: object) -> RunConfig:
    """Two tasks of five digits for two clients."""
    return from_dict(
        {
            "name": "stream",
            "backbone": {"name": "mini_vit"},
            "lora": {"rank": 2, "alpha": 2, "targets": ["k_proj", "v_proj"]},
            "tasks": {
                "name": "class_stream",
                "source": {"name": "digits", "size": 8},
                "classes_per_task": 5,
                "splits": {"train": 20, "validation": 5, "test": 10},
            },
            "shards": {"per_task": 2},
            "finetune": {"epochs": 1},
            "continual": {"method": {"name": "inflora_ca", "exhausted": "zero"}},
            "runtime": runtime,
        },
        "a test",
    )


@pytest.mark.slow
def test_a_stream_on_ray_ends_as_in_this_process(tmp_path):
    here, there = stream(), stream(name="ray")
    mine = running.run(here, run_folder.create(here, tmp_path / "here"), Silent())
    theirs = running.run(there, run_folder.create(there, tmp_path / "there"), Silent())

    assert mine["fingerprint"] == theirs["fingerprint"]
    assert mine["stream"] == theirs["stream"]
