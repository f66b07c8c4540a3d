"""Orders, paces, and what a matrix of accuracies says."""

import pytest

from fedlora.continual.metrics import summarise
from fedlora.continual.schedule import schedule
from fedlora.errors import FedloraError


@pytest.mark.parametrize("order", ["same", "shuffled"])
@pytest.mark.parametrize("pace", ["same", "mixed"])
def test_every_client_meets_every_task_once(order, pace):
    steps = schedule(4, 5, order, pace, seed=1)
    for client in range(5):
        assert sorted(step[client] for step in steps if client in step) == [0, 1, 2, 3]
    assert len(steps) == (4 if pace == "same" else 6)


def test_the_same_order_is_the_streams():
    assert schedule(3, 2, "same", "same", 0) == [{0: t, 1: t} for t in range(3)]


def test_a_stream_of_one_task_is_refused():
    with pytest.raises(FedloraError, match="stream of 1 task"):
        schedule(1, 2, "same", "same", 0)


def test_the_summary_by_hand():
    matrix = [[0.9, None, None], [0.7, 0.8, None], [0.75, 0.6, 1.0]]
    found = summarise(matrix)
    assert found.final == pytest.approx((0.75 + 0.6 + 1.0) / 3)
    assert found.averaged == pytest.approx((0.9 + 0.75 + 2.35 / 3) / 3)
    assert found.forgetting == pytest.approx(((0.9 - 0.75) + (0.8 - 0.6)) / 2)
    assert found.backward == pytest.approx(((0.75 - 0.9) + (0.6 - 0.8)) / 2)
