"""However jobs are grouped, each gets its own result."""

import pytest
import torch

from fedlora.config import Training
from fedlora.finetune.job import Trained
from fedlora.finetune.local import train
from fedlora.finetune.trainer import Timings, Trainer
from tests.finetune.many import clients
from tests.finetune.test_batched import apart


@pytest.mark.parametrize("mode", ["sequential", "batched", "auto"])
def test_every_mode_gives_the_results_of_training_alone(mode: Training):
    jobs = clients("clip", torch.float64) * 3
    done = Trainer(mode, most=3).train(jobs)
    assert apart([x.outcome for x in done], [train(*job) for job in jobs]) < 1e-11
    assert all(x.seconds > 0 for x in done)


def test_a_fault_in_one_job_is_its_own():
    jobs = clients("clip", torch.float64)
    wrong = {**jobs[1].rows, "labels": jobs[1].rows["labels"] + 100}
    done = Trainer("batched", most=4).train([jobs[0], jobs[1]._replace(rows=wrong), *jobs[2:]])
    assert isinstance(done[1].outcome, IndexError)
    assert all(isinstance(done[k].outcome, Trained) for k in (0, 2, 3))


def climb(cost: dict[int, float], waiting: int, most: int) -> list[int]:
    """The group sizes chosen, one after another, when a size costs what the table says."""
    timings, sizes = Timings(), []
    while waiting:
        sizes.append(timings.size(waiting, most))
        timings.note(sizes[-1], cost[sizes[-1]])
        waiting -= sizes[-1]
    return sizes


def test_auto_grows_the_group_while_that_pays():
    faster = {1: 4.0, 4: 2.0, 16: 1.0, 24: 1.5}
    assert climb(faster, 122, 24) == [1, 1, 4, 4, 16, 16, 24, 24, 16, 16]


def test_auto_stays_with_one_at_a_time_where_that_is_faster():
    assert climb({1: 1.0, 4: 1.1}, 14, 64) == [1, 1, 4, 4, 1, 1, 1, 1]


def test_auto_does_not_judge_before_there_is_enough_to_try():
    assert climb({1: 1.0, 4: 0.1}, 5, 64) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("waiting", range(1, 40))
def test_auto_never_takes_more_than_there_is(waiting: int):
    cost = {size: 1 / size for size in range(1, 40)}
    assert sum(climb(cost, waiting, 16)) == waiting
