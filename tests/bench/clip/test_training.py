"""The CLIP bench in small: what it trains, and that it trains it."""

import pytest

from fedlora.bench.clip.training import TASKS, Case, Size, measure

SMALL = Size(train=160, test=200, clients=2, rounds=2)


@pytest.mark.parametrize("method", ["linear head", "LoRA r 4", "full"])
def test_a_method_learns(method):
    before = measure(Case("rotation 40", "zero-shot", 0, SMALL))
    found = measure(Case("rotation 40", method, 0, SMALL))

    assert before["federated"] == before["centralised"] < 0.4
    assert found["centralised"] > before["centralised"] + 0.1
    assert found["federated"] != before["federated"]


def test_a_task_of_a_few_classes_has_a_head_of_as_many():
    found = measure(Case("tops alone, shear 30", "zero-shot", 0, SMALL))

    assert len(TASKS["tops alone, shear 30"][1]) == 5
    assert found["federated"] > 0.25


def test_a_case_measured_again_is_the_same():
    case = Case("rotation 40", "LoRA r 4", 0, Size(train=64, test=100, clients=2, rounds=1))

    one, two = measure(case), measure(case)

    assert one | {"seconds": 0} == two | {"seconds": 0}
