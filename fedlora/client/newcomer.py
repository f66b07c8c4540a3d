"""A newcomer without a seat in a run: it describes its task, and leaves with an adapter."""

from pathlib import Path

from fedlora.adapter import AdapterSpec, LoraAdapter, peft_folder
from fedlora.backbone import open_slot
from fedlora.client.own_task import OwnTask, open_task
from fedlora.client.protecting import vector_of
from fedlora.client.released import released
from fedlora.client.trial import score
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, spec_of
from fedlora.wire.message import JSON, Message, decode, encode

_ENVELOPE_BYTES = 1 << 20


class Newcomer:
    """Answers a standing server: first with its task vector, then with what it was given is worth.

    config: of the run whose generator serves; the task itself is the newcomer's own.
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

    def handle(self, _client: int, frame: bytes) -> bytes:
        """Answer one encoded message with another.

        Raises:
            FedloraError: the message asks for something else, or its adapter does not fit.
        """
        head = sum(p.numel() for p in self._task.objective.head().values())
        limit = _ENVELOPE_BYTES + 8 * (self._spec().size + head)
        message = decode(frame, limit)
        action = message.meta.get("action")
        if action == "describe":
            return self._description()
        if action == "take":
            return encode(self._take(message))
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

    def _take(self, message: Message) -> Message:
        """Keep the adapter as a PEFT folder, and say what it is worth beside none."""
        tensor = message.tensors.get("adapter.generated")
        if tensor is None:
            raise FedloraError("message lacks the adapter 'generated'")
        adapter: LoraAdapter = self._config.codec.build().decode(tensor, self._spec())
        objective, judging = self._task.objective, self._task.judging
        start = fresh(objective, self._seed)
        without, with_it = (score(objective, each, judging) for each in (start, adapter))
        base = open_slot(self._config.backbone, self._config.lora, self._config.runtime.device).base
        metric = objective.metric
        facts = (
            f"Generated for a newcomer by the run {self._config.name}. On {self._judged}"
            f" of its examples: {metric} {with_it[metric]:.3f}, {without[metric]:.3f} without it."
        )
        foreign = message.meta.get("foreign")
        if isinstance(foreign, float):
            facts += (
                f" The task lies {foreign:.1f} times as far from the bank's tasks as any of these"
                " from the others, so that this adapter was not made for it: it is that of the"
                " nearest task, or the warm start of all."
            )
        peft_folder.save(adapter, self._out, base.reference, base.task_type, facts)
        values: dict[str, JSON] = {"base": {**without}, "generated": {**with_it}}
        return Message("evaluation", {}, {"values": values})

    def _spec(self) -> AdapterSpec:
        return spec_of(self._task.objective)
