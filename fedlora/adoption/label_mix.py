"""The nearest tasks' and several methods' adapters, mixed by how well each fits the labels."""

from typing import Self

import torch
from pydantic import Field, model_validator
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import some
from fedlora.section import Section

DEFAULT = ("generated",)
MOST = 32
"""Adapters of an offer."""
NEAR = "near"
"""Before its place, the name of one of the bank's tasks in an offer."""


class LabelMixConfig(Section):
    """Each candidate is one adapter down; the labels stay where they are."""

    candidates: int = Field(16, ge=0, description="nearest tasks of the bank")
    methods: tuple[str, ...] = Field(
        DEFAULT, description="of the table, whose adapters are candidates as well"
    )
    temperature: float = Field(0.3, gt=0, description="in nats of the mean loss")
    distance_weight: float = Field(1.0, ge=0)

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if not 1 <= self.candidates + len(set(self.methods)) <= MOST:
            raise ValueError(f"candidates and methods together: between 1 and {MOST}")
        return self


def of_the_bank(name: str) -> bool:
    """Whether an adapter of an offer is that of a task of the bank, and no method's."""
    return name.startswith(NEAR) and name.removeprefix(NEAR).isdigit()


class LabelMix(Policy):
    """DeltaW = sum_i w_i DeltaW_i, w_i proportional to exp(-loss_i / temperature - weight d_i^2).

    loss_i is the mean loss of candidate i on the labels, d_i the distance of its task vector; what
    a method makes stands as near as the nearest task. The sum is exact, and only then truncated to
    the rank of the candidates. Nothing is trained.
    """

    Config = LabelMixConfig
    needs_labels = True
    needs_neighbours = True

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.config.methods))

    @property
    @override
    def title(self) -> str:
        named = () if self.methods == DEFAULT else self.methods
        return "_".join(["label_mix", *named])

    @property
    @override
    def adapters(self) -> int:
        return int(self.config.candidates) + len(self.methods)

    @override
    def offer(self, hand: Hand) -> Offer:
        near = hand.nearest(self.config.candidates)
        adapters = {f"{NEAR}{place}": one.adapter for place, one in enumerate(near)}
        distances = {f"{NEAR}{place}": one.distance for place, one in enumerate(near)}
        adapters |= {name: hand.method(name, 0) for name in self.methods}
        distances |= dict.fromkeys(self.methods, near[0].distance if near else 0.0)
        return Offer(adapters, distances)

    @override
    def choose(self, offer: Offer, trial: Trial) -> LoraAdapter:
        adapters = some(offer)
        scores = [
            -trial.score(adapter).loss / self.config.temperature
            - self.config.distance_weight * offer.distances.get(name, 0.0)
            for name, adapter in adapters.items()
        ]
        weights = torch.softmax(torch.tensor(scores, dtype=torch.float64), 0)
        span = AdapterSpan(list(adapters.values()))
        return span.combine(weights, span.spec)
