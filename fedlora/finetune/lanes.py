"""The rows of many clients as one batch, and whose each row is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from fedlora.finetune.objectives import Rows


@dataclass(frozen=True)
class Lanes:
    """Which rows are whose: client k has the next `counts[k]` rows of the batch.

    counts: rows of each client.
    lengths: of each client, the length of its own longest text; empty for other inputs.
    """

    counts: Sequence[int]
    lengths: Sequence[int] = ()

    @property
    def even(self) -> bool:
        """All clients have as many rows."""
        return len(set(self.counts)) == 1

    def spread(self, x: Tensor) -> Tensor:
        """(rows, ..., d) -> (K, most rows of a client * ..., d), filled up with zeros."""
        if not self.even:
            size = len(self.counts) * max(self.counts)
            places = _places(tuple(self.counts), x.device)
            x = x.new_zeros(size, *x.shape[1:]).index_copy(0, places, x)
        return x.reshape(len(self.counts), -1, x.shape[-1])

    def gather(self, lanes: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `spread`."""
        if self.even:
            return lanes.reshape(shape)
        rows = lanes.reshape(len(self.counts) * max(self.counts), *shape[1:])
        return rows.index_select(0, _places(tuple(self.counts), lanes.device))


@lru_cache(maxsize=8)
def _places(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Where the rows lie among the spread ones; asked for by every layer of a pass."""
    most = max(counts)
    places = [k * most + row for k, count in enumerate(counts) for row in range(count)]
    return torch.tensor(places, device=device)


def join(batches: Sequence[Rows]) -> tuple[Rows, Lanes]:
    """The rows of all clients as one batch; texts are padded to the longest."""
    counts = [len(next(iter(rows.values()))) for rows in batches]
    if "attention_mask" not in batches[0]:
        joined = {name: torch.cat([rows[name] for rows in batches]) for name in batches[0]}
        return joined, Lanes(counts)
    lengths = [rows["attention_mask"].shape[-1] for rows in batches]
    joined = {name: _padded([rows[name] for rows in batches]) for name in batches[0]}
    return joined, Lanes(counts, lengths)


def _padded(columns: Sequence[Tensor]) -> Tensor:
    """Columns (n_k, ...) one after another, filled up with zeros that the mask hides."""
    shape = [max(sizes) for sizes in zip(*(c.shape[1:] for c in columns), strict=True)]
    filled = []
    for column in columns:
        gaps = [size - own for size, own in zip(shape, column.shape[1:], strict=True)]
        filled.append(functional.pad(column, [x for gap in reversed(gaps) for x in (0, gap)]))
    return torch.cat(filled)
