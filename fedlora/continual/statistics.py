"""What is remembered of the inputs of a layer: the sum of x x^T, and nothing that grows."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.errors import FedloraError


@dataclass(frozen=True, eq=False)
class Statistics:
    """Second moments of a layer's inputs x, tokens counted one by one.

    total: (d, d) float64, the sum of x x^T.
    count: how many tokens it sums over; a sketch or noise leaves it as it was.

    Sums of disjoint sets of tokens add up to the sum of their union, so that clients that send
    theirs reveal to the server what one client with all data would have computed. Memory is d^2
    values, however many tokens there were.
    """

    total: Tensor
    count: int

    @property
    def width(self) -> int:
        """d."""
        return len(self.total)

    @property
    def mean(self) -> Tensor:
        """C = E[x x^T], (d, d) float64; zero where nothing was counted."""
        return self.total / max(self.count, 1)

    def add(self, inputs: Tensor) -> "Statistics":
        """With further tokens, (n, d); their product is taken in the dtype they come in.

        Raises:
            FedloraError: they are of another width, or hold NaN or infinity.
        """
        if inputs.ndim != 2 or inputs.shape[1] != self.width:
            raise FedloraError(f"features of {tuple(inputs.shape)}, not (n, {self.width})")
        gram = (inputs.T @ inputs).to("cpu", torch.float64)
        if not bool(torch.isfinite(gram).all()):
            raise FedloraError(
                "its inputs hold NaN or infinity; check the data, or lower the learning rate"
            )
        return Statistics(self.total + gram, self.count + len(inputs))


def nothing(width: int) -> Statistics:
    """Statistics of no token at all, for inputs of `width`."""
    return Statistics(torch.zeros(width, width, dtype=torch.float64), 0)


def summed(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of all tokens together, summed in the order given.

    Raises:
        FedloraError: there are none, or they are of layers of different width.
    """
    every = list(parts)
    if not every or len({part.width for part in every}) > 1:
        raise FedloraError("statistics of one layer are summed, of at least one client")
    out = nothing(every[0].width)
    for part in every:
        out = Statistics(out.total + part.total, out.count + part.count)
    return out


def pack(statistics: Statistics) -> Tensor:
    """The upper triangle of the sum, row by row: (d (d + 1) / 2,) float32, as it travels."""
    rows, columns = torch.triu_indices(statistics.width, statistics.width)
    return statistics.total[rows, columns].float()


def unpack(values: Tensor, width: int, count: int) -> Statistics:
    """The inverse of `pack` up to rounding, for values from anybody.

    Raises:
        FedloraError: not float32 of the length that the width implies, not finite, or a count
            that is negative.
    """
    if values.shape != (width * (width + 1) // 2,) or values.dtype != torch.float32:
        raise FedloraError(f"statistics of {tuple(values.shape)} {values.dtype} for width {width}")
    if count < 0 or not bool(torch.isfinite(values).all()):
        raise FedloraError("statistics with a negative count, NaN or infinity")
    rows, columns = torch.triu_indices(width, width)
    total = torch.zeros(width, width, dtype=torch.float64)
    total[rows, columns] = values.double()
    total[columns, rows] = values.double()
    return Statistics(total, count)
