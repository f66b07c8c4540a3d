"""Serving newcomers from a finished run: no round, no seat, one task vector in, one adapter out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fedlora import seeding
from fedlora.adapter import AdapterSpec
from fedlora.adapter.place import check_place
from fedlora.backbone import open_slot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.run_folder import seed_folder
from fedlora.server.context import ENVELOPE_BYTES
from fedlora.server.describing import MOST_VALUES
from fedlora.server.in_service import folder_in_service, open_service
from fedlora.server.screening import screen
from fedlora.server.serving import value_of
from fedlora.wire.message import Message, decode, encode


class Standing:
    """What a standing server says to newcomers; it keeps nothing of them.

    config, folder: of a finished run.
    seed: whose generator serves.
    """

    def __init__(self, config: RunConfig, folder: Path, seed: int) -> None:
        """Load what serves.

        Raises:
            FedloraError: the run has no generator yet.
        """
        own = seed_folder(folder, seed)
        if not folder_in_service(config, own).is_dir():
            raise FedloraError(
                f"{folder}: has learned no generator for seed {seed}; finish the run"
            )
        self._service = open_service(config, own)
        self._config, self._seed = config, seed
        self._codec: Any = config.codec.build()
        device = config.runtime.device
        self._base: AdapterSpec = open_slot(config.backbone, config.lora, device).spec

    def greeting(self) -> bytes:
        """The message that asks a newcomer what its task is like."""
        return encode(Message("control", {}, {"action": "describe"}))

    def offer(self, answer: bytes) -> bytes:
        """The message with the adapter for a newcomer that has said what its task is like.

        Raises:
            FedloraError: the answer is malformed, or of another base model, head or vector.
        """
        said = decode(answer, ENVELOPE_BYTES)
        spec = AdapterSpec.from_json(str(said.meta.get("spec")))
        check_place(replace(spec, head=()), replace(self._base, head=()))
        vector = said.tensors.get("vector")
        if vector is None or vector.ndim != 1 or vector.dtype != torch.float32:
            raise FedloraError("answer lacks a task vector (c,) of float32")
        if not 1 <= len(vector) <= MOST_VALUES:
            raise FedloraError(f"task vector of more than {MOST_VALUES} values")
        seed = seeding.derive(self._seed, "sample")
        (adapter,), foreign = self._service.serve(vector, seed=seed, rank=self._config.lora.rank)
        check_place(spec, adapter.spec)
        screen(adapter, adapter.spec, self._config.rounds.max_norm)
        tensors = {"adapter.generated": self._codec.encode(adapter)}
        return encode(Message("adapter", tensors, {"action": "take", "foreign": foreign}))

    def worth(self, answer: bytes) -> dict[str, float]:
        """What a newcomer says the base model and its adapter reach on its own test examples.

        Raises:
            FedloraError: it does not say so.
        """
        values = decode(answer, ENVELOPE_BYTES).meta.get("values")
        if not isinstance(values, dict):
            raise FedloraError("answer lacks its values")
        metric = "accuracy" if "accuracy" in (values.get("base") or {}) else "nll"
        return {name: value_of(values.get(name), metric) for name in ("base", "generated")}
