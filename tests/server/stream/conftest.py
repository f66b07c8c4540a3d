"""Continual runs on a small random ViT and scikit-learn's digits, in this process."""

import json

import pytest

from fedlora.config import from_dict
from fedlora.runtime import inprocess
from fedlora.server.observer import Silent
from fedlora.server.stream.story import federate_stream
from tests.continual.conftest import save_small_vit


@pytest.fixture(scope="session")
def small_vit(tmp_path_factory):
    return save_small_vit(tmp_path_factory.mktemp("small_vit"))


@pytest.fixture(scope="session")
def stream_config(small_vit):
    """A configuration with some of its sections changed."""

    def make(clients=1, method=None, shards=None, **continual):
        method = method or {"name": "inflora", "threshold_first": 0.9, "exhausted": "zero"}
        return from_dict(
            {
                "name": "stream",
                "backbone": {"name": str(small_vit)},
                "lora": {"rank": 2, "alpha": 2, "targets": ["k_proj", "v_proj"]},
                "tasks": {
                    "name": "class_stream",
                    "source": {"name": "digits", "size": 8},
                    "classes_per_task": 4,
                    "splits": {"train": 40, "validation": 4, "test": 20},
                },
                "shards": {"per_task": clients, **(shards or {})},
                "finetune": {"epochs": 1, "batch_size": 20, "learning_rate": 0.01},
                "continual": {"method": method, **continual},
            },
            "test",
        )

    return make


@pytest.fixture
def live(tmp_path):
    """Live a run and read what it says of its stream."""

    def run(config, folder=None, transport=None):
        place = folder or tmp_path / "run"
        if transport is not None:
            federate_stream(config, config.continual, 0, transport, place, Silent())
        else:
            inprocess.serve(
                config,
                0,
                lambda carrier: federate_stream(
                    config, config.continual, 0, carrier, place, Silent()
                ),
            )
        return json.loads((place / "stream.json").read_text())

    return run
