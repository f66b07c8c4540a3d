"""What newcomers do with a few labels: the policies of the library, as clients live them."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedlora.bench.generator.families import FEW
from fedlora.bench.generator.side import Side
from fedlora.client.adopting import settle
from fedlora.config import AdoptionConfig
from fedlora.server.offering import Offering
from fedlora.wire.ledger import Entry
from fedlora.wire.message import encode

DEFAULT, MIX, MIXED, REFINED, RETRIEVED, LORA, LORA_LONGER, BEST, TWO = (
    "default policy",
    "label mix, gated",
    "label mix",
    "label mix, refined",
    "top-3, gated",
    "trained from the warm start",
    "trained from the warm start, as many steps as on a whole shard",
    "best of 8 drawn by cvae",
    "generated and top-3, mixed",
)
POLICIES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    MIX: {"policy": {"name": "label_mix"}, "refine": "gated"},
    MIXED: {"policy": {"name": "label_mix"}},
    REFINED: {"policy": {"name": "label_mix"}, "refine": "always"},
    RETRIEVED: {"policy": {"name": "given", "method": "topk"}, "refine": "gated"},
    LORA: {"policy": {"name": "given", "method": "warm"}, "refine": "always"},
    LORA_LONGER: {"policy": {"name": "given", "method": "warm"}, "refine": "always"},
    BEST: {"policy": {"name": "best_of", "samples": 8}},
    TWO: {"policy": {"name": "label_mix", "candidates": 0, "methods": ["generated", "topk"]}},
}
"""What the library does with labels where nothing else is said, and what can be said."""
GROWN = "grown"
"""The way of growth on whose bank newcomers adopt by our policies."""
OURS = f"{DEFAULT} after {GROWN}"
RIVALS = (LORA, LORA_LONGER, RETRIEVED, MIX)
"""Without growth, after as many rounds of averaging."""
MANY = 128
"""Labels at which claims are made, as at `FEW`, with which all policies are lived."""


def policies_at(labels: int, grown: bool) -> tuple[str, ...]:
    """Those that are lived with so many labels, on a side that has grown or has not."""
    if grown:
        more = (MIX, MIXED, REFINED, TWO, *equals_at(labels)) if labels == FEW else ()
        return (DEFAULT, *more)
    return (*RIVALS, BEST) if labels == FEW else (LORA, LORA_LONGER)


def rivals_at(labels: int) -> tuple[str, ...]:
    """Those without growth that ours is to beat, or not to lose against."""
    return RIVALS if labels == FEW else (LORA, LORA_LONGER)


def equals_at(labels: int) -> tuple[str, ...]:
    """Of those on a side that has grown the rivals, which have the same bank as ours."""
    return (RETRIEVED,) if labels == FEW else ()


@dataclass(frozen=True)
class Adopted:
    """What every newcomer reached by one policy, and what that took one of them on average.

    up, down: serialised bytes, from its first message to the adapters it chooses from.
    seconds: of its own work.
    refined: the share of newcomers that trained.
    """

    values: list[float]
    up: float
    down: float
    seconds: float
    refined: float


def way(policy: str, labels: int, epochs: int, examples: int, batch_size: int) -> AdoptionConfig:
    """A policy with some labels, on which who trains takes as many epochs as on a whole shard.

    epochs, examples, batch_size: of training on the whole; `LORA_LONGER` takes as many steps.
    """
    if policy == LORA_LONGER:
        steps = epochs * math.ceil(examples / batch_size)
        epochs = math.ceil(steps / math.ceil(labels / batch_size))
    return AdoptionConfig.model_validate(
        {**POLICIES[policy], "labels": labels, "refine_epochs": epochs}
    )


def adopt(side: Side, offering: Offering, adoption: AdoptionConfig) -> Adopted:
    """Every newcomer of a side is made an offer, and settles on an adapter."""
    policy = adoption.policy.build()
    values, down, seconds, refined = [], [], [], []
    for newcomer in side.newcomers:
        offer = offering.make(policy, newcomer.vector, newcomer.seat.client)
        message = side.context.message(
            "adapter", "adopt", offer.adapters, distances=offer.distances
        )
        down.append(len(encode(message)))
        began = time.perf_counter()
        used, trained = settle(side.client.place(newcomer.seat.client), adoption, offer)
        seconds.append(time.perf_counter() - began)
        refined.append(float(trained))
        values.append(side.value(newcomer.seat.client, used))
    up, asked = _arrival(side)
    return Adopted(values, up, asked + fmean(down), fmean(seconds), fmean(refined))


def plain_bytes(side: Side) -> Mapping[str, float]:
    """Of one newcomer that is given one adapter and has no labels."""
    given = {"given": side.warm}
    message = side.context.message("adapter", "adopt", given, distances={})
    up, asked = _arrival(side)
    return {"up": up, "down": asked + len(encode(message))}


def _arrival(side: Side) -> tuple[float, float]:
    """Bytes up and down of a newcomer's first word: it is asked, and says what its task is like."""
    entries = [Entry.from_line(line) for line in side.journal.lines("ledger")]
    own = [entry for entry in entries if entry.phase == "arrive"]
    up, down = (
        fmean(entry.serialised for entry in own if entry.direction == way) for way in ("up", "down")
    )
    return up, down
