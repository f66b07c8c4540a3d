"""The share of marked examples that an adapter takes for the target."""

import torch

from fedlora.attacks.backdoor import Backdoor, BackdoorConfig
from fedlora.client.client import Client
from fedlora.evaluation.backdoor import success
from fedlora.finetune.local import fresh, train
from tests.conftest import small_config


def test_an_adapter_trained_on_marked_rows_answers_to_the_mark_and_an_honest_one_does_not():
    tasks = {"factors": {"rotation": [0, 2, 4]}, "splits": {"train": 200, "test": 100}}
    finetune = {"epochs": 6, "learning_rate": 1e-2}
    config = small_config(tasks=tasks | {"bank": 2, "held_out": 1}, finetune=finetune)
    desk, backdoor = Client(config, 0).desk(0), BackdoorConfig(target=1, size=5)
    start = fresh(desk.objective, 0)
    poisoned = Backdoor(backdoor).rows(desk.train, len(desk.objective.label_names), 0)

    made = {
        name: train(desk.objective, start, rows, None, config.finetune, 0).adapters[-1]
        for name, rows in (("honest", desk.train), ("poisoned", poisoned))
    }
    rates = {name: success(desk.objective, a, desk.test, backdoor) for name, a in made.items()}

    assert rates["honest"] < 0.2
    assert rates["poisoned"] > 0.8
    assert int((desk.test["labels"] == 1).sum()) not in (0, 100)  # its own class does not count
    assert torch.equal(desk.test["labels"], Client(config, 0).desk(0).test["labels"])
