import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fedlora.errors import FedloraError
from fedlora.report.series import points
from fedlora.report.tensorboard import export
from fedlora.report.trackers import send


def test_a_point_is_the_mean_over_the_clients_of_a_step():
    records = [
        {"phase": "warm_start", "round": 1, "client": 0, "task": "a", "loss": 1.0},
        {"phase": "warm_start", "round": 1, "client": 1, "task": "b", "loss": 3.0},
        {"phase": "warm_start", "round": 2, "client": 1, "task": "b", "loss": math.nan},
        {"phase": "warm_start", "round": 1, "client": 0, "curve": [9.0]},
        {"phase": "finetune", "round": 0, "client": 0, "curve": [0.5, 0.25], "validation": [0.7]},
    ]

    assert points(records) == [
        ("finetune/training_loss", 1, 0.5),
        ("finetune/training_loss", 2, 0.25),
        ("finetune/validation_loss", 1, 0.7),
        ("warm_start/loss", 1, 2.0),
    ]


def test_tensorboard_reads_back_every_point(run):
    seed = run / "seed-0"
    metrics = [json.loads(line) for line in (seed / "metrics.jsonl").read_text().splitlines()]

    folder = export(seed)
    folder = export(seed)

    events = EventAccumulator(str(folder)).Reload()
    found = {
        (tag, event.step): event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    }
    expected = {(tag, step): value for tag, step, value in points(metrics)}
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-6)
    assert len(list(folder.iterdir())) == 1


def test_a_tracker_that_is_unknown_or_not_installed_is_told_in_one_line(run, monkeypatch):
    with pytest.raises(FedloraError, match="choose one of swanlab, trackio, wandb"):
        send(run, "wandbb")

    # None in sys.modules is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(__import__("sys").modules, "swanlab", None)
    with pytest.raises(FedloraError, match=r"pip install 'fedlora\[trackers\]'"):
        send(run, "swanlab")
