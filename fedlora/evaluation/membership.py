"""How well somebody who holds an adapter can tell which examples it was trained on."""

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.finetune.local import put
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take


def membership(objective: Objective, adapter: LoraAdapter, members: Rows, others: Rows) -> float:
    """The chance that an example trained on looks more like one than another that was not.

    By the better of two signs: a low loss (Yeom et al. 2018, arXiv 1709.01604), and a loss that is
    much lower than the base model's, since some examples are easy for everybody (Watson et al.
    2022, arXiv 2111.08440). 0.5 is a guess, 1 is certainty.

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
    truth = torch.cat([torch.ones(signs[0].shape[1]), torch.zeros(signs[1].shape[1])])
    return max(float(roc_auc_score(truth, sign)) for sign in torch.cat(signs, dim=1))


def losses(objective: Objective, adapter: LoraAdapter | None, rows: Rows) -> Tensor:
    """(n,) loss of each example by itself; of the base model for None."""
    slot, count = objective.slot, len(next(iter(rows.values())))
    if adapter is not None:
        put(objective, adapter)
    with torch.inference_mode(), slot.disabled() if adapter is None else slot.quiet():
        single = [objective.loss(take(rows, index)) for index in torch.arange(count).split(1)]
    return torch.stack(single).cpu().float()
