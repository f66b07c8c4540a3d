"""What a bank must be before anything is learned from it, and parts of it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.adapter.span import check_same_place
from fedlora.errors import FedloraError
from fedlora.generators.condition import check_finite
from fedlora.generators.contract import TrainingBank


def check_bank(bank: TrainingBank, least_tasks: int) -> None:
    """Refuse what cannot be learned from, before any time is spent.

    Raises:
        FedloraError: fewer tasks than `least_tasks`; adapters of several base models, layers or
            heads; or conditions or adapters with NaN or infinity.
    """
    count = len(set(bank.tasks))
    if count < least_tasks:
        raise FedloraError(
            f"the bank holds {count} task{'s' * (count != 1)}, and this generator needs"
            f" {least_tasks} to see how adapters change with the task"
        )
    check_same_place(bank.adapters)
    for adapter, task in zip(bank.adapters, bank.tasks, strict=True):
        if not bool(torch.isfinite(adapter.flatten()).all()):
            raise FedloraError(f"the bank's adapter of task '{task}' holds NaN or infinity")
    check_finite(bank.conditions)


def task_shares(tasks: Sequence[str]) -> Tensor:
    """(t, n) float64: row by row, the equal shares of each task's samples; rows in name order.

    A product with it turns one row a sample into the mean of each task.
    """
    names = sorted(set(tasks))
    member = torch.tensor([[float(task == name) for task in tasks] for name in names])
    return member.double() / member.double().sum(1, keepdim=True)


def rows_of(bank: TrainingBank, rows: Sequence[int]) -> TrainingBank:
    """Some samples of a bank."""
    return TrainingBank(
        [bank.adapters[at] for at in rows],
        bank.conditions[list(rows)],
        [bank.tasks[at] for at in rows],
        [bank.clients[at] for at in rows] if bank.clients else None,
    )
