"""One client's way through its epochs, whether it trains alone or among many."""

import math
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.text_batches import text_batches


class Course:
    """The order of the examples, the checkpoints, and when to stop.

    With `settings.patience`, training stops once the validation loss has not improved for that
    many epochs, and the checkpoints end with the best one.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._order = seeding.generator(job.seed, "order")
        self._steps = 0
        self._kept: deque[LoraAdapter] = deque(maxlen=job.keep)
        self._curve: list[float] = []
        self._validation: list[float] = []

    def shuffle(self) -> list[Tensor]:
        """The next epoch's batches, as indices of rows; texts of similar length share one."""
        order = torch.randperm(self.job.examples, generator=self._order)
        size = self.job.settings.batch_size
        if "attention_mask" not in self.job.rows:
            return list(order.split(size))
        mask = self.job.rows["attention_mask"]  # (n, tokens), or with several answers a row
        lengths = mask.sum(-1).reshape(len(mask), -1).amax(1)
        batches = text_batches(order, lengths, size, self._steps)
        self._steps += len(batches)
        return batches

    def close_epoch(
        self,
        losses: Sequence[Tensor],
        validate: Callable[[], float],
        adapter: Callable[[], LoraAdapter],
    ) -> bool:
        """Note what an epoch led to; True when another follows.

        Args:
            losses: of each batch, scalars.
            validate: gives the validation loss; asked only if the job has validation rows.
            adapter: gives a copy of the adapter as it is now; asked only if it is kept.

        Raises:
            FedloraError: the loss is not finite.
        """
        self._curve.append(_finite(float(torch.stack(list(losses)).mean())))
        best = True
        if self.job.validation is not None:
            self._validation.append(validate())
            best = self._validation[-1] <= min(self._validation)
        patience = self.job.settings.patience
        if patience is None or best:
            self._kept.append(adapter())
        elif self._epochs_since_best() >= patience:
            return False
        return len(self._curve) < self.job.settings.epochs

    def trained(self) -> Trained:
        """What the course has led to."""
        return Trained(list(self._kept), self._curve, self._validation)

    def _epochs_since_best(self) -> int:
        return len(self._validation) - 1 - self._validation.index(min(self._validation))


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise FedloraError(f"training loss is {loss}; lower the learning rate")
    return loss
