"""Whether local training on a few labels helps, judged before it is used."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Score, Trial

FOLDS = 4
_EQUAL = 1e-9


def refine_if_it_helps(adapter: LoraAdapter, trial: Trial, seed: int) -> LoraAdapter:
    """The adapter refined on all the labels if cross-validation on them says so, or as it is.

    Each fold is scored by the adapter itself and by one refined on the other folds. Refinement
    has to be better over all labels by what the task is judged by, or as good by that and lower in
    loss: an adapter that has learned more is often surer of its mistakes, so the loss alone would
    refuse what helps. Fewer labels than two a fold are too few to judge by, so the adapter stays.
    """
    if trial.examples < 2 * FOLDS:
        return adapter
    order = torch.randperm(trial.examples, generator=seeding.generator(seed, "folds"))
    folds = order.tensor_split(FOLDS)
    sizes = [len(held) for held in folds]
    before = _mean([trial.score(adapter, held) for held in folds], sizes)
    refined = trial.refine(adapter, [_others(folds, held) for held in folds])
    after = _mean([trial.score(one, held) for one, held in zip(refined, folds, strict=True)], sizes)
    gained = after.value - before.value
    helps = after.loss < before.loss if abs(gained) < _EQUAL else gained > 0
    return trial.refine(adapter, [torch.arange(trial.examples)])[0] if helps else adapter


def _others(folds: Sequence[Tensor], held: Tensor) -> Tensor:
    return torch.cat([fold for fold in folds if fold is not held])


def _mean(scores: Sequence[Score], sizes: Sequence[int]) -> Score:
    """Over all labels, from means over folds."""
    total = sum(sizes)
    pairs = list(zip(scores, sizes, strict=True))
    return Score(
        sum(score.value * size for score, size in pairs) / total,
        sum(score.loss * size for score, size in pairs) / total,
    )
