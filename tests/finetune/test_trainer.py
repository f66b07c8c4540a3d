"""However jobs are grouped, each gets its own result."""

import pytest
import torch

from fedlora.config import Training
from fedlora.finetune.job import Trained
from fedlora.finetune.local import train
from fedlora.finetune.remembered import Remembered
from fedlora.finetune.trainer import Trainer
from tests.finetune.many import clients, groups_of
from tests.finetune.test_batched import apart


@pytest.mark.parametrize("mode", ["sequential", "batched", "auto"])
def test_every_mode_gives_the_results_of_training_alone(
    mode: Training, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Remembered, "find", lambda *_: 3)  # or `auto` would begin one by one
    groups = groups_of(monkeypatch)
    jobs = clients("clip", torch.float64) * 3
    done = Trainer(mode, most=3).train(jobs)
    assert apart([x.outcome for x in done], [train(*job) for job in jobs]) < 1e-11
    assert all(x.seconds > 0 for x in done)
    assert groups == ([] if mode == "sequential" else [3] * 4)


def test_a_fault_in_one_job_is_its_own():
    jobs = clients("clip", torch.float64)
    wrong = {**jobs[1].rows, "labels": jobs[1].rows["labels"] + 100}
    done = Trainer("batched", most=4).train([jobs[0], jobs[1]._replace(rows=wrong), *jobs[2:]])
    assert isinstance(done[1].outcome, IndexError)
    assert all(isinstance(done[k].outcome, Trained) for k in (0, 2, 3))
