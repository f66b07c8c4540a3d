"""A newcomer's labelled examples, put at the disposal of an adoption policy."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Score
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.config import AdoptionConfig
from fedlora.finetune.job import Job
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.spans import span


class FewLabels:
    """A `Trial` on `adoption.labels` training examples, the same for every policy and method."""

    def __init__(self, place: Workplace, adoption: AdoptionConfig) -> None:
        self._place = place
        count = adoption.labels or place.desk.examples
        desk = place.desk
        if desk.objective.spread(desk.train) is desk.train:  # trained and judged by one pass
            desk = replace(desk, train=place.shard())
        self._rows = desk.few(count, place.purpose("evaluate"))
        self._settings = place.config.finetune.model_copy(
            update={"epochs": adoption.refine_epochs, "patience": None}
        )

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(next(iter(self._rows.values())))

    def score(self, adapter: LoraAdapter, rows: Tensor | None = None) -> Score:
        """An adapter on the examples, or on these rows of them."""
        objective = self._place.desk.objective
        found = score(objective, adapter, self._chosen(rows))
        sign = -1.0 if objective.metric == "nll" else 1.0
        return Score(sign * found[objective.metric], found["loss"])

    def refine(self, adapter: LoraAdapter, parts: Sequence[Tensor]) -> list[LoraAdapter]:
        """What becomes of the adapter by `adoption.refine_epochs` on each part of the examples."""
        objective, seed = self._place.desk.objective, self._place.purpose("refine")
        jobs = [
            Job(objective, adapter, take(self._rows, part), None, self._settings, seed)
            for part in parts
        ]
        with span("training"):
            return [done.result().adapters[-1] for done in self._place.trainer.train(jobs)]

    def _chosen(self, rows: Tensor | None) -> Rows:
        return self._rows if rows is None else take(self._rows, rows)
