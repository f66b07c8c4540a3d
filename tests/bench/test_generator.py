"""The generator bench: equal sides, and claims that follow from the rows."""

import pytest

from fedlora.bench.generator.bench import COUNTS, judge, share
from fedlora.bench.generator.families import FAMILIES, HELD_OUT, config

METHODS = ("mean", *(f"top-{k}" for k in COUNTS), "grown", "grown, shuffled")


def row(**values: float) -> dict[str, object]:
    reached = dict.fromkeys(METHODS, 0.2) | {"base": 0.1, "local": 0.6} | values
    return {"family": "any", "seed": 1, "task": "a", "gap": True, **reached}


@pytest.mark.parametrize("family", FAMILIES)
def test_both_sides_train_alike_on_the_same_tasks(family):
    plain, grown = (config(family, 3, grown=way) for way in (False, True))
    assert plain.tasks == grown.tasks
    assert plain.finetune == grown.finetune
    assert plain.warm_start.train == grown.warm_start.train == grown.growth.train
    assert plain.warm_start.rounds == grown.warm_start.rounds + grown.growth.rounds
    assert not plain.growth.rounds
    assert len(plain.tasks.build().names().held_out) == HELD_OUT >= 24


def test_retrieval_is_chosen_in_hindsight_and_compared_in_pairs():
    rows = [
        row(**{"top-2": 0.4, "top-3": 0.3, "grown": 0.5}),
        row(**{"top-2": 0.3, "top-3": 0.3, "grown": 0.35}),
    ]
    closed, beyond, shuffled = judge(rows, "any")

    assert "top-2" in beyond.what
    assert closed.value == pytest.approx((0.8 + 0.5) / 2)
    assert beyond.value == pytest.approx((0.2 + 0.1) / 2)
    assert beyond.low < 0.15 < beyond.high
    assert shuffled.value == pytest.approx(0)


def test_a_task_without_a_gap_decides_nothing():
    rows = [row(grown=0.5), row(grown=0.3), row(grown=99.0) | {"gap": False}]
    assert judge(rows, "any")[0].value == pytest.approx(0.6)
    assert judge(rows[2:], "any") == []


def test_a_share_is_one_at_local_training_and_zero_at_the_base():
    assert share(row(grown=0.6), "grown") == pytest.approx(1)
    assert share(row(grown=0.1), "grown") == pytest.approx(0)
