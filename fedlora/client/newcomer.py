"""A newcomer without a seat in a run: it describes its task, and leaves with an adapter."""

from pathlib import Path

from fedlora.adapter import AdapterSpec, peft_folder
from fedlora.adoption.guarded import FOREIGN
from fedlora.backbone import open_slot
from fedlora.client.adopting import offered, settle
from fedlora.client.desk import Desk
from fedlora.client.own_task import OwnTask, open_task
from fedlora.client.protecting import vector_of
from fedlora.client.released import released
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace, state_cache
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, spec_of
from fedlora.finetune.trainer import Trainer
from fedlora.roster import Seat
from fedlora.wire.message import JSON, Message, decode, encode

_ENVELOPE_BYTES = 1 << 20


class Newcomer:
    """Answers a standing server: first with its task vector, then with what it adopted is worth.

    It makes of an offer what the run's own newcomers make of theirs. Its labels never leave it.

    config: of the run that serves; the task itself is the newcomer's own.
    seed: of the run.
    out: the PEFT folder that it leaves with, there once the adapter has been tried.
    data, text, label: its data, as for `open_task`.
    """

    def __init__(
        self,
        config: RunConfig,
        seed: int,
        out: Path,
        data: Path,
        text: str | None = None,
        label: str | None = None,
    ) -> None:
        self._config, self._seed, self._out = config, seed, out
        self._task: OwnTask = open_task(config, None, data, text, label)
        self._judged = self._task.examples_to_judge()

    @property
    def base(self) -> str:
        """SHA-256 of the base model's weights."""
        return self._spec().base

    def handle(self, client: int, frame: bytes) -> bytes:
        """Answer one encoded message with another; its own chance follows from the client's number.

        Raises:
            FedloraError: the message asks for something else, or its offer is not the run's.
        """
        head = sum(p.numel() for p in self._task.objective.head().values())
        most = self._config.adoption.policy.build().adapters
        limit = _ENVELOPE_BYTES + 8 * most * (self._spec().size + head)
        message = decode(frame, limit)
        action = message.meta.get("action")
        if action == "describe":
            return self._description()
        if action == "take":
            return encode(self._take(client, message))
        raise FedloraError(f"message asks for '{action!a:.40}': a newcomer describes and takes")

    def _description(self) -> bytes:
        """The same words as of a run's own clients, less what would tell them apart.

        Said again as they were, after a restart as well: noise is drawn once for these examples.
        """
        kept = released(self._config, self._seed)
        who = self._task.digest() if kept.noisy else ""
        purpose = kept.purpose(who, "describe", Message("task_vector", {}, {}))
        return kept.before(purpose) or kept.keep(purpose, self._described())

    def _described(self) -> bytes:
        objective = self._task.objective
        vector = vector_of(self._config, objective, self._task.describing, self._seed)
        meta: dict[str, JSON] = {
            "metric": objective.metric,
            "spec": self._spec().to_json(),
            "labels": list(objective.label_names) if objective.head() else [],
        }
        return encode(Message("task_vector", {"vector": vector}, meta))

    def _take(self, client: int, message: Message) -> Message:
        """Keep the adapter as a PEFT folder, and say what it is worth beside none."""
        adoption = self._config.adoption
        place = self._place(client)
        offer = offered(place, adoption.policy.build(), message)
        used, refined = settle(place, adoption, offer)
        objective, judging = self._task.objective, self._task.judging
        start = fresh(objective, self._seed)
        without, with_it = (score(objective, each, judging) for each in (start, used))
        base = open_slot(self._config.backbone, self._config.lora, self._config.runtime.device).base
        metric = objective.metric
        facts = (
            f"Adopted by a newcomer of the run {self._config.name}, by {adoption.title}"
            f"{', and trained further on its labels' if refined else ''}. On {self._judged}"
            f" of its examples: {metric} {with_it[metric]:.3f}, {without[metric]:.3f} without it."
        )
        if FOREIGN in offer.distances:
            facts += (
                f" The task lies {offer.distances[FOREIGN]:.1f} times as far from the bank as its"
                " tasks usually do from each other, so that what was offered was not made for it:"
                " it was the nearest task's adapter, or the warm start of all."
            )
        elif offer.distances:
            apart = min(offer.distances.values())
            facts += (
                f" The task lies {apart:.1f} times as far from the bank as its tasks usually do"
                " from each other."
            )
        if offer.error is not None:
            facts += (
                f" The server expected a squared error of {offer.error:.2f} of an adapter's usual"
                " squared norm."
            )
        peft_folder.save(used, self._out, base.reference, base.task_type, facts)
        values: dict[str, JSON] = {"base": {**without}, "adopted": {**with_it}}
        return Message("evaluation", {}, {"values": values})

    def _place(self, client: int) -> Workplace:
        config, task = self._config, self._task
        seat = Seat(client, task.name, 0, "newcomer", config.lora.rank)
        desk = Desk(seat, task.objective, task.describing, {}, task.judging)
        codecs = config.codec.build(), (config.codec_up or config.codec).build()
        states = state_cache(config, task.objective.slot)
        trainer = Trainer(config.runtime.training, config.runtime.group)
        return Workplace(config, self._seed, desk, *codecs, states, {}, trainer)

    def _spec(self) -> AdapterSpec:
        return spec_of(self._task.objective)
