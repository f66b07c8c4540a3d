"""Batches of texts with little padding, in an order that fits clients trained at once."""

import math

import torch
from torch import Tensor

WINDOW = 16
"""Texts are sorted by length among at most so many batches, and among half of the shard at
most, so that chance still decides who shares a batch."""

STRIDE = (math.sqrt(5) - 1) / 2


def text_batches(order: Tensor, lengths: Tensor, size: int, step: int) -> list[Tensor]:
    """An epoch's batches: the rows in `order`, (n,), those of similar length together.

    Which batch comes when follows from its length and the number of the step alone: step t has
    the batch whose rank among the lengths of its epoch, in [0, 1), comes next to the fractional
    part of t times the golden ratio (Weyl's sequence). This mixes short and long ones within an
    epoch, and clients that train at once, whatever their seeds and shard sizes, all have short
    texts in one step and long ones in another.

    Args:
        order: a random permutation of the rows.
        lengths: tokens of each row, (n,).
        size: of a batch; what is left over makes a smaller one, of any lengths.
        step: the optimiser steps before this epoch.
    """
    whole = len(order) // size
    window = size * max(1, min(WINDOW, whole // 2))
    batches: list[Tensor] = []
    for part in order[: whole * size].split(window) if whole else ():
        batches += part[lengths[part].argsort(stable=True)].split(size)
    if whole * size < len(order):
        batches.append(order[whole * size :])
    longest = torch.stack([lengths[batch].max() for batch in batches])
    ranked = longest.argsort(stable=True)
    steps = torch.arange(step, step + len(batches), dtype=torch.float64)
    turns = (steps * STRIDE).frac().argsort().argsort()
    return [batches[number] for number in ranked[turns].tolist()]
