"""A newcomer's labelled examples, put at the disposal of an adoption policy."""

from dataclasses import replace

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Score
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.config import AdoptionConfig
from fedlora.finetune.local import train
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

    def refine(self, adapter: LoraAdapter, rows: Tensor | None = None) -> LoraAdapter:
        """The adapter after `adoption.refine_epochs` on the examples, or on these rows of them."""
        with span("training"):
            trained = train(
                self._place.desk.objective,
                adapter,
                self._chosen(rows),
                None,
                self._settings,
                self._place.purpose("refine"),
            )
        return trained.adapters[-1]

    def _chosen(self, rows: Tensor | None) -> Rows:
        return self._rows if rows is None else take(self._rows, rows)
