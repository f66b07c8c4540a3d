import pytest
import torch

from fedlora.adoption.gate import refine_if_it_helps


class Refined:
    """Refining on `rows` lowers the loss on each row by its own gain, trained on or not."""

    def __init__(self, gains):
        self.gains = torch.tensor(gains, dtype=torch.float64)
        self.trained_on = []

    @property
    def examples(self):
        return len(self.gains)

    def loss(self, adapter, rows=None):
        if rows is not None and adapter == "refined":
            assert not set(rows.tolist()) & set(self.trained_on[-1]), "scored on what it learned"
        gains = self.gains if rows is None else self.gains[rows]
        return float(1.0 - (gains.mean() if adapter == "refined" else 0.0))

    def refine(self, adapter, rows=None):
        self.trained_on.append(list(range(self.examples)) if rows is None else rows.tolist())
        return "refined"


def test_refinement_that_helps_every_fold_is_used_on_all_labels():
    trial = Refined([0.1] * 32)
    assert refine_if_it_helps("start", trial, seed=3) == "refined"
    assert trial.trained_on[-1] == list(range(32))


@pytest.mark.parametrize("labels", range(8, 14))
def test_there_are_four_folds_of_nearly_one_size(labels):
    trial = Refined([0.1] * labels)
    refine_if_it_helps("start", trial, seed=3)
    held = [labels - len(rows) for rows in trial.trained_on[:4]]
    assert sum(held) == labels
    assert max(held) - min(held) <= 1


@pytest.mark.parametrize("gains", [[-0.1] * 32, [0.0] * 32, [2.0] + [-0.05] * 31])
def test_refinement_that_harms_or_helps_by_luck_is_not(gains):
    assert refine_if_it_helps("start", Refined(gains), seed=3) == "start"


def test_too_few_labels_are_not_judged_by():
    trial = Refined([1.0] * 7)
    assert refine_if_it_helps("start", trial, seed=3) == "start"
    assert not trial.trained_on


def test_the_folds_cover_every_label_once_and_follow_the_seed():
    trial, other = Refined([0.1] * 30), Refined([0.1] * 30)
    refine_if_it_helps("start", trial, seed=3)
    refine_if_it_helps("start", other, seed=3)
    assert trial.trained_on == other.trained_on
    held = [set(range(30)) - set(rows) for rows in trial.trained_on[:4]]
    assert sorted(row for fold in held for row in fold) == list(range(30))
