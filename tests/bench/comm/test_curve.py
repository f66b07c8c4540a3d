"""Accuracy against bytes, on the bench's own federation in small."""

from dataclasses import replace

import pytest
import torch

from fedlora.backbone import open_slot
from fedlora.bench.comm import cases
from fedlora.bench.comm.cases import Case
from fedlora.bench.comm.curve import Point, at_bytes, curve, first_at
from fedlora.bench.comm.families import FAMILIES, VISION
from fedlora.bench.comm.full import full_curve
from fedlora.bench.comm.lives import live
from fedlora.errors import FedloraError
from fedlora.wire.floor import exact_floor

SPLITS = {"train": 30, "validation": 8, "test": 10}
SMALL = replace(
    VISION,
    rounds=1,
    changes={
        "lora": {"rank": 2, "ranks": (1, 2)},
        "warm_start": {"rounds": 3},
        "tasks": {"splits": SPLITS},
        "shards": {"per_task": 1, "partition": "iid"},
    },
    route={
        "tasks": {"bank": 4, "held_out": 2, "splits": SPLITS},
        "finetune": {"epochs": 1},
        "generator": {"name": "mean"},
    },
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))


def test_a_point_counts_all_that_had_to_travel_for_it():
    points = curve(Case(SMALL, "codec", "none", 0).config, seed=0)

    assert [point.rounds for point in points] == [0, 1, 2]
    assert points[0].up == 0
    # The first round sends no adapter down; each later one sends four.
    assert points[2].down - points[1].down > 10 * points[0].down
    # Rounding to the header's alignment aside, every round sends the same up.
    assert points[2].up - points[1].up == pytest.approx(points[1].up, rel=0.01)
    assert all(0 <= point.value <= 1 and point.payload < point.bytes for point in points)


def test_full_fine_tuning_sends_the_whole_model_and_leaves_it_as_it_was():
    config = Case(SMALL, "full", cases.FULL, 0).config
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    before = {name: tensor.clone() for name, tensor in slot.model.named_parameters()}
    points = full_curve(config, 0, 1e-3)

    assert full_curve(config, 0, 1e-3) == points
    whole = 4 * slot.base.parameters  # the classifier that comes with the model is its head
    assert [point.rounds for point in points] == [0, 1, 2]
    for number in (1, 2):
        assert points[number].up == pytest.approx(4 * number * whole, rel=0.02)
        assert points[number].down == pytest.approx(4 * number * whole, rel=0.02)
    assert points[0].value != points[2].value
    for name, tensor in slot.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(tensor, before[name])
            assert not tensor.requires_grad


def test_newcomers_are_counted_one_by_one():
    row = live(Case(SMALL, "route", cases.ROUTE, 0))
    served, spec = row["served"], open_slot_spec(SMALL)

    # An adapter up and one down a round, the first of which none comes down.
    assert row["points"][1]["up"] == pytest.approx(4 * spec.size, rel=0.2)
    assert row["points"][2]["down"] == pytest.approx(2 * 4 * spec.size, rel=0.2)
    assert served["adapter"] == pytest.approx(4 * spec.size, rel=0.1)
    assert served["adapter"] < served["down"] < 1.2 * served["adapter"]
    assert served["up"] < served["adapter"]  # a task vector is small
    assert served["bank"] > 4 * served["adapter"]
    assert {"base", "warm", "generated", "local"} <= served["values"].keys()


def test_the_floor_is_the_mean_of_the_clients_own_ranks():
    row, spec = live(Case(SMALL, "mixed", "flexlora", 0)), open_slot_spec(SMALL)
    both = [exact_floor(spec.with_rank(rank)) for rank in (1, 2)]

    assert row["floor"] == sum(both) / 2
    assert row["values"] == sum(spec.with_rank(rank).size for rank in (1, 2)) / 2


def open_slot_spec(family):
    config = family.run()
    return open_slot(config.backbone, config.lora, config.runtime.device).spec


def test_what_bytes_buy_is_read_off_the_curve():
    points = [Point(0, 0, 10, 5, 0.2), Point(1, 50, 60, 90, 0.6), Point(2, 100, 110, 190, 0.5)]

    assert at_bytes(points, 5) == 0.2
    assert at_bytes(points, 110) == 0.6
    assert at_bytes(points, 1000) == 0.6
    assert first_at(points, 0.5) == points[1]
    assert first_at(points, 0.7) is None


def test_a_run_that_keeps_its_scores_to_itself_is_refused():
    with pytest.raises(FedloraError, match=r"warm_start\.score"):
        curve(cases.generating(SMALL), seed=0)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_case_is_a_configuration_of_its_own_name(family):
    every = cases.cases(family, cases.TABLES, 1)
    for case in every:
        assert case.config.warm_start.score
    assert len({case.name for case in every}) == len(every)
    assert cases.generating(family).warm_start.rounds < family.run().warm_start.rounds
