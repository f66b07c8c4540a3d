"""The nearest tasks' adapters, mixed by how well each fits the newcomer's labels."""

import torch
from pydantic import Field
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.span import AdapterSpan
from fedlora.adoption.contract import Hand, Offer, Policy, Trial
from fedlora.adoption.offers import some
from fedlora.section import Section


class LabelMixConfig(Section):
    """Each candidate is one adapter down; the labels stay where they are."""

    candidates: int = Field(16, ge=1, le=31)
    generated: bool = Field(True, description="the generator's adapter is one more candidate")
    temperature: float = Field(0.3, gt=0, description="in nats of the mean loss")
    distance_weight: float = Field(1.0, ge=0)


class LabelMix(Policy):
    """DeltaW = sum_i w_i DeltaW_i, w_i proportional to exp(-loss_i / temperature - weight d_i^2).

    loss_i is the mean loss of candidate i on the labels, d_i the distance of its task vector; the
    generator's own candidate stands as near as the nearest task. The sum is exact, and only then
    truncated to the rank of the candidates. Nothing is trained.
    """

    Config = LabelMixConfig
    needs_labels = True
    needs_neighbours = True

    @property
    @override
    def methods(self) -> tuple[str, ...]:
        return ("generated",) if self.config.generated else ()

    @property
    @override
    def title(self) -> str:
        return "label_mix"

    @property
    @override
    def adapters(self) -> int:
        return int(self.config.candidates) + int(self.config.generated)

    @override
    def offer(self, hand: Hand) -> Offer:
        near = hand.nearest(self.config.candidates)
        adapters = {f"near{place}": one.adapter for place, one in enumerate(near)}
        distances = {f"near{place}": one.distance for place, one in enumerate(near)}
        if self.config.generated:
            adapters["generated"] = hand.method("generated", 0)
            distances["generated"] = near[0].distance
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
