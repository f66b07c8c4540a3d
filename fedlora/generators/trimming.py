"""Learning in spite of some samples that lie: the worst foretold are left out, the longest cut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.span import AdapterSpan
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank

SLACK = 1e-3
"""By how much of the limit a length may be above it: float32 sums say no better."""

TRIES = 20

Foretell = Callable[[TrainingBank, Tensor], Sequence[LoraAdapter]]
"""Adapters for conditions (m, c), by what was learned from a bank."""


def left_out_losses(bank: TrainingBank, foretell: Foretell, folds: int) -> Tensor:
    """|DeltaW_i - DeltaW(c_i)|_F^2 of each sample, DeltaW(c) learned without its client.

    Clients are dealt to the folds in turn, and each fold is foretold from all the others, so that
    no client can vouch for itself, however well a generator learns by heart.

    Args:
        bank: n samples; one without clients is dealt by its tasks.
        foretell: learns from a part of it.
        folds: at most; no more than there are clients.

    Returns:
        (n,) float64; all zero where there is only one client.

    Raises:
        FedloraError: a part of the bank cannot be learned from.
    """
    owners: list[int | str] = [*(bank.clients or bank.tasks)]
    places = {owner: place for place, owner in enumerate(sorted(set(owners), key=str))}
    count = min(folds, len(places))
    losses = torch.zeros(len(owners), dtype=torch.float64)
    for fold in range(count if count > 1 else 0):
        out = [at for at, owner in enumerate(owners) if places[owner] % count == fold]
        rest = rows_of(bank, [at for at in range(len(owners)) if at not in set(out)])
        for at, made in zip(out, foretell(rest, bank.conditions[out]), strict=True):
            losses[at] = distance(made, bank.adapters[at]) ** 2
    return losses


def worst(losses: Tensor, share: float) -> list[int]:
    """The places of the largest of losses (n,): `share` of them, rounded down.

    What trimmed loss minimisation leaves out (Shen and Sanghavi 2019, arXiv 1810.11874).
    Deviation: losses are those of `left_out_losses`, and what is left out is chosen once.
    """
    order = torch.argsort(losses, descending=True, stable=True)
    return sorted(order[: math.floor(share * len(losses))].tolist())


def capped(bank: TrainingBank, start: LoraAdapter | None, cap: float) -> TrainingBank:
    """The bank with no change from the start longer than `cap` times the median of all.

    start + s (DeltaW_i - start), at the sample's own rank, with an s of at most
    cap m / |DeltaW_i - start|; m is the median length. A generator that is linear in its samples is
    then moved by no sample further than that; one within the limit stays as it is, bit for bit.

    start: what all were trained from; None for zero.
    """
    lengths = [norm(a) if start is None else distance(a, start) for a in bank.adapters]
    limit = cap * float(torch.tensor(lengths, dtype=torch.float64).quantile(0.5))
    adapters = [
        adapter if length <= limit else _within(adapter, start, limit, length)
        for adapter, length in zip(bank.adapters, lengths, strict=True)
    ]
    return replace(bank, adapters=adapters)


def _within(
    adapter: LoraAdapter, start: LoraAdapter | None, limit: float, length: float
) -> LoraAdapter:
    """What is left of a change that is too long; cut to a rank it may be longer than its share."""
    share, cut = 1.0, adapter
    for _ in range(TRIES):
        share *= limit / length
        cut = _towards(adapter, start, share)
        length = norm(cut) if start is None else distance(cut, start)
        if length <= limit * (1 + SLACK):
            break
    return cut


def _towards(adapter: LoraAdapter, start: LoraAdapter | None, share: float) -> LoraAdapter:
    """The share of the way from the start."""
    if start is None:
        return AdapterSpan([adapter]).combine(torch.tensor([share]), adapter.spec)
    weights = torch.tensor([1 - share, share], dtype=torch.float64)
    return AdapterSpan([start, adapter]).combine(weights, adapter.spec)
