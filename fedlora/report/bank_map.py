"""The bank in two dimensions: its task vectors, and its adapters where no factors disguise them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import gram
from fedlora.bank import Bank, StoredRecord
from fedlora.report.evenly import evenly
from fedlora.report.run_folder import SeedFolder

MOST = 300
"""Adapters on a map; of more, this many are taken evenly by task."""


@dataclass(frozen=True)
class BankMap:
    """Positions (n, 2) of the same n tasks by vector and by adapter, newcomers last.

    shares: of the spread, how much the two axes of each map show, 0 to 1.
    """

    tasks: list[str]
    newcomer: list[bool]
    vectors: Tensor
    adapters: Tensor
    shares: tuple[float, float]


def read(seed: SeedFolder) -> BankMap | None:
    """The map of one seed; None before the bank holds three adapters.

    Raises:
        FedloraError: the bank is damaged.
    """
    tasks: list[str] = []
    vectors: list[Tensor] = []
    adapters: list[LoraAdapter] = []
    newcomer: list[bool] = []
    for name in ("bank", "newcomers"):
        folder = seed.path / name
        if not (folder / "index.sqlite").is_file():
            continue
        bank = Bank.open(folder)
        for record in _latest(bank):
            tasks.append(record.task)
            vectors.append(bank.vector(record).double())
            adapters.append(bank.load(record.digest))
            newcomer.append(name == "newcomers")
    if len(tasks) < 3:
        return None
    stacked = torch.stack(vectors)
    by_vector, vector_share = principal(stacked @ stacked.T)
    by_adapter, adapter_share = principal(gram(adapters))
    return BankMap(tasks, newcomer, by_vector, by_adapter, (vector_share, adapter_share))


def principal(products: Tensor) -> tuple[Tensor, float]:
    """The first two principal coordinates of n points known by their inner products.

    Classical scaling (Torgerson 1952): the eigenvectors of the doubly centred Gram matrix, each
    times the root of its eigenvalue; for vectors this is PCA.

    Args:
        products: (n, n) float64 inner products, n >= 2.

    Returns:
        Coordinates (n, 2), the largest of each axis positive, and the share of the spread shown.
    """
    centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
    values, axes = torch.linalg.eigh(centred)
    values = values.clamp(min=0)
    places = axes[:, -2:].flip(1) * values[-2:].flip(0).sqrt()
    largest = places.gather(0, places.abs().argmax(0, keepdim=True))
    total = float(values.sum())
    return places * torch.where(largest < 0, -1.0, 1.0), float(values[-2:].sum()) / (total or 1.0)


def _latest(bank: Bank) -> list[StoredRecord]:
    """The last adapter of each task and client."""
    last = {(record.task, record.client): record for record in bank.records()}
    return evenly(list(last.values()), MOST)
