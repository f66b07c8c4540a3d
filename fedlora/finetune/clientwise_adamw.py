"""AdamW over many clients' parameters at once, each client with its own settings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.finetune.job import Job

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class ClientwiseAdamW:
    """As many separate `torch.optim.AdamW` as there are rows (Loshchilov and Hutter 2019,
    arXiv 1711.05101, algorithm 2), all at the same step.

    A row's gradient is clipped to its own norm, and its learning rate falls linearly to zero over
    its own number of steps. Values that no gradient reaches stay as they are, without decay; it
    reaches the same ones in every step, since a group has one kind of task.
    """

    def __init__(self, values: Tensor, jobs: Sequence[Job]) -> None:
        settings = [job.settings for job in jobs]
        self._step = 0
        self._first = torch.zeros_like(values, requires_grad=False)
        self._second = torch.zeros_like(values, requires_grad=False)
        # (K, 1), in double precision as the scalars of a single optimiser are
        columns = {
            "rate": [s.learning_rate for s in settings],
            "decay": [s.weight_decay for s in settings],
            "clip": [s.clip_norm for s in settings],
            "steps": [float(job.steps) for job in jobs],
        }
        self._of = {
            name: torch.tensor(column, dtype=torch.float64, device=values.device).unsqueeze(1)
            for name, column in columns.items()
        }

    @torch.no_grad()
    def step(self, values: Tensor, grad: Tensor, reached: Sequence[slice]) -> None:
        """Move the columns of `values` (K, size) that a gradient has reached, in place.

        `grad`, of the same shape, is overwritten.
        """
        rate = self._of["rate"] * (1 - self._step / self._of["steps"])
        self._step += 1
        norm = grad.norm(dim=1, keepdim=True)
        grad.mul_((self._of["clip"].to(norm.dtype) / (norm + 1e-6)).clamp(max=1.0))
        self._first.lerp_(grad, 1 - BETA_1)
        self._second.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
        size = rate / (1 - BETA_1**self._step)
        spread = self._second.sqrt().div_((1 - BETA_2**self._step) ** 0.5).add_(EPSILON)
        for columns in reached:
            values[:, columns].mul_((1 - rate * self._of["decay"]).to(values.dtype))
        # Zero where no gradient has ever been.
        values.sub_(spread.reciprocal_().mul_(self._first).mul_(size.to(values.dtype)))

    def keep(self, clients: Tensor) -> None:
        """Go on with these rows only, (k,) indices."""
        clients = clients.to(self._first.device)
        self._first, self._second = self._first[clients], self._second[clients]
        self._of = {name: column[clients] for name, column in self._of.items()}
