"""How well somebody who holds an adapter or a task vector can tell whose examples are in it."""

import math
from typing import NamedTuple

import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.finetune.local import fresh, put
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take


class Told(NamedTuple):
    """How well members are told from others.

    chance: that a member looks more like one than another example does (area under the curve);
        0.5 is a guess, 1 is certainty.
    surely: share of the members that stand out where hardly any other does: one in a hundred at
        most, or one in twenty where there are fewer than a hundred. A guess finds as many.
    """

    chance: float
    surely: float


def membership(objective: Objective, adapter: LoraAdapter, members: Rows, others: Rows) -> Told:
    """How well an example trained on is told from another that was not.

    By the better of two signs: a low loss (Yeom et al. 2018, arXiv 1709.01604), and a loss that is
    much lower than the base model's, since some examples are easy for everybody (Watson et al.
    2022, arXiv 2111.08440), each figure by the sign that is better for it.

    Args:
        objective: the task.
        adapter: what the attacker holds.
        members: n encoded examples that it was trained on.
        others: m of the same task that it was not.
    """
    signs = []
    for rows in (members, others):
        found = losses(objective, adapter, rows)
        signs.append(torch.stack([-found, losses(objective, None, rows) - found]))
    mine, theirs = signs
    told = [_told(own, other) for own, other in zip(mine, theirs, strict=True)]
    return Told(*map(max, zip(*told, strict=True)))


def vector_membership(vector: Tensor, members: Tensor, others: Tensor, known: Tensor) -> Told:
    """How well an example in a mean of features is told from another that is not.

    By (f - mu) C^-1 (v - mu), f the example's features and v the mean that was sent (the covariance
    attack of Azize and Basu 2024, arXiv 2402.10065). mu and C are of examples that the attacker has
    of its own, C shrunk after Ledoit and Wolf (2004, doi 10.1016/S0047-259X(03)00096-4); they must
    not be those that are guessed at, which mu would give away.

    Args:
        vector: (width,), a task vector of pooled features.
        members: (n, width), features of the examples that it is the mean of.
        others: (m, width), of the same task's that are not in it.
        known: (k, width), of k >= 2 more of them: what the attacker knows of the task.
    """
    about = LedoitWolf().fit(known.double().numpy())
    mean, precision = torch.from_numpy(about.location_), torch.from_numpy(about.precision_)
    along = precision @ (vector.double() - mean)
    return _told((members.double() - mean) @ along, (others.double() - mean) @ along)


def pooled(objective: Objective, rows: Rows, clip: float = math.inf) -> Tensor:
    """(n, width) features of the base model that a task vector is the mean of.

    clip: the most that a row measures (L2), where the vector is protected.
    """
    with torch.inference_mode(), objective.slot.disabled():
        features, _, _ = objective.hidden(rows)
        norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        clipped: Tensor = features * (clip / norms.clamp_min(1e-12)).clamp_max(1.0)
    return clipped.cpu().clone()


def losses(objective: Objective, adapter: LoraAdapter | None, rows: Rows) -> Tensor:
    """(n,) loss of each example by itself; for None of the base model with a task's first head."""
    count = len(next(iter(rows.values())))
    put(objective, fresh(objective, 0) if adapter is None else adapter)
    with torch.inference_mode(), objective.slot.quiet():
        single = [objective.loss(take(rows, index)) for index in torch.arange(count).split(1)]
    return torch.stack(single).cpu().float()


def _told(members: Tensor, others: Tensor) -> Told:
    """How well a sign, high for members, tells (n,) of them from (m,) others."""
    truth = torch.cat([torch.ones(len(members)), torch.zeros(len(others))])
    chance = float(roc_auc_score(truth, torch.cat([members, others])))
    wrong = int(len(others) * (0.01 if len(others) >= 100 else 0.05))
    limit = others.sort(descending=True).values[wrong]
    return Told(chance, float((members > limit).double().mean()))
