"""Whether local training on a few labels helps, judged before it is used."""

import torch

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Trial

FOLDS = 4


def refine_if_it_helps(adapter: LoraAdapter, trial: Trial, seed: int) -> LoraAdapter:
    """The adapter refined on all the labels if cross-validation on them says so, or as it is.

    Each fold is scored by the adapter itself and by one refined on the other folds; refinement
    has to lower the mean loss over the folds by more than the standard error of what it gains.
    Fewer labels than two a fold are too few to judge by, so the adapter stays.
    """
    if trial.examples < 2 * FOLDS:
        return adapter
    order = torch.randperm(trial.examples, generator=seeding.generator(seed, "folds"))
    folds = order.tensor_split(FOLDS)
    gains = []
    for held in folds:
        rest = torch.cat([fold for fold in folds if fold is not held])
        gains.append(trial.loss(adapter, held) - trial.loss(trial.refine(adapter, rest), held))
    gained = torch.tensor(gains, dtype=torch.float64)
    helps = gained.mean() > gained.std() / len(gains) ** 0.5
    return trial.refine(adapter) if bool(helps) else adapter
