import pytest
import torch

from fedlora.adoption.contract import Score
from fedlora.adoption.gate import refine_if_it_helps


class Refined:
    """Refining on any rows changes the value and the loss of each row by its own amounts."""

    def __init__(self, gained, saved):
        self.gained = torch.tensor(gained, dtype=torch.float64)
        self.saved = torch.tensor(saved, dtype=torch.float64)
        self.trained_on = []

    @property
    def examples(self):
        return len(self.gained)

    def score(self, adapter, rows):
        if adapter == "start":
            return Score(0.5, 1.0)
        assert not set(rows.tolist()) & set(adapter), "scored on what it learned"
        return Score(
            0.5 + float(self.gained[rows].mean()),
            1.0 - float(self.saved[rows].mean()),
        )

    def refine(self, adapter, parts):
        learned = [tuple(rows.tolist()) for rows in parts]
        self.trained_on += learned
        return learned


def helpful(labels=32):
    return Refined([1.0] * labels, [0.1] * labels)


def test_refinement_that_helps_is_used_on_all_labels():
    trial = helpful()
    assert refine_if_it_helps("start", trial, seed=3) == tuple(range(32))
    assert len(trial.trained_on) == 5


@pytest.mark.parametrize("labels", range(8, 14))
def test_there_are_four_folds_of_nearly_one_size(labels):
    trial = helpful(labels)
    refine_if_it_helps("start", trial, seed=3)
    held = [labels - len(rows) for rows in trial.trained_on[:4]]
    assert sum(held) == labels
    assert max(held) - min(held) <= 1


@pytest.mark.parametrize(
    ("gained", "saved", "used"),
    [
        ([1.0] + [0.0] * 32, [-0.2] * 33, "refined"),  # one more is right, at a higher loss
        ([-1.0] + [0.0] * 32, [0.2] * 33, "start"),  # one less, at a lower loss
        ([1.0, -1.0] + [0.0] * 31, [0.01] * 33, "refined"),  # as many are right: the loss tells
        ([1.0, -1.0] + [0.0] * 31, [-0.01] * 33, "start"),
        ([0.0] * 33, [0.0] * 33, "start"),
    ],
)
def test_the_metric_decides_over_all_labels_and_the_loss_where_it_is_equal(gained, saved, used):
    found = refine_if_it_helps("start", Refined(gained, saved), seed=3)
    assert found == ("start" if used == "start" else tuple(range(33)))


def test_too_few_labels_are_not_judged_by():
    trial = helpful(7)
    assert refine_if_it_helps("start", trial, seed=3) == "start"
    assert not trial.trained_on


def test_the_folds_cover_every_label_once_and_follow_the_seed():
    trial, other = helpful(30), helpful(30)
    refine_if_it_helps("start", trial, seed=3)
    refine_if_it_helps("start", other, seed=3)
    assert trial.trained_on == other.trained_on
    held = [set(range(30)) - set(rows) for rows in trial.trained_on[:4]]
    assert sorted(row for fold in held for row in fold) == list(range(30))
