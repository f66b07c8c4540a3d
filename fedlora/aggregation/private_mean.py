"""The mean of many changes, in which no single one can be told."""

from collections.abc import Iterable

import torch

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import Parts, put_parts, take_parts
from fedlora.privacy.chance import Chance


def private_mean(
    before: LoraAdapter,
    sent: Iterable[LoraAdapter],
    parts: Parts,
    *,
    asked: int,
    clip: float,
    noise: float,
    chance: Chance,
) -> tuple[LoraAdapter, int]:
    """W + (sum_i min(1, c / |x_i - W|) (x_i - W) + c z N(0, I)) / n.

    DP-FedAvg (McMahan et al. 2018, arXiv 1710.06963) with every client weighing the same. The sum
    is divided by the clients that were asked, not by those that answered, so that one that stays
    away moves it by c / n at most. Flower's wrapper of the same idea
    (`DifferentialPrivacyServerSideFixedClipping`) clips all arrays of a message together and
    divides by those that answered; here `parts` alone move, and the others stay as they are.

    Args:
        before: W, known to everybody.
        sent: x_i, of W's spec; perhaps none.
        parts: of the adapter that are averaged.
        asked: n.
        clip: c, L2 over all values of the parts.
        noise: z, the standard deviation in units of c.
        chance: of the noise.

    Returns:
        The new adapter, and how many changes were longer than the clip.
    """
    start = take_parts(before, parts).double()
    total, clipped = torch.zeros_like(start), 0
    for adapter in sent:
        change = take_parts(adapter, parts).double() - start
        length = float(torch.linalg.vector_norm(change))
        clipped += length > clip
        total += change * min(1.0, clip / max(length, 1e-300))
    drawn = chance.normal(total.shape)
    values = start + (total + clip * noise * drawn) / asked
    return put_parts(before, parts, values.float()), clipped
