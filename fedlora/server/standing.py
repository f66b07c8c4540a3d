"""Serving newcomers from a finished run: no round, no seat, one task vector in, one adapter out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec
from fedlora.adapter.place import check_place
from fedlora.backbone import open_slot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.run_folder import seed_folder
from fedlora.server.context import ENVELOPE_BYTES
from fedlora.server.describing import MOST_VALUES
from fedlora.server.in_service import open_service, policy_in_service
from fedlora.server.screening import screen
from fedlora.server.serving import value_of
from fedlora.wire.message import JSON, Message, decode, encode


class Standing:
    """What a standing server says to newcomers; it keeps nothing of them.

    config, folder: of a finished run.
    seed: which of the run's serves.
    """

    def __init__(self, config: RunConfig, folder: Path, seed: int) -> None:
        """Load what serves.

        Raises:
            FedloraError: the run has no generator yet.
        """
        own = seed_folder(folder, seed)
        if not (own / "generator").is_dir():
            raise FedloraError(
                f"{folder}: has learned no generator for seed {seed}; finish the run"
            )
        self._policy = policy_in_service(config, labels=True)
        self._offering = open_service(config, own, seed, self._policy)
        self._config = config
        self._codec: Any = config.codec.build()
        device = config.runtime.device
        self._base: AdapterSpec = open_slot(config.backbone, config.lora, device).spec

    def greeting(self) -> bytes:
        """The message that asks a newcomer what its task is like."""
        return encode(Message("control", {}, {"action": "describe"}))

    def offer(self, answer: bytes) -> bytes:
        """The message with the run's own offer to a newcomer that has said what its task is like.

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
        offer = self._offering.make(self._policy, vector)
        tensors: dict[str, Tensor] = {}
        for name, adapter in offer.adapters.items():
            check_place(spec, adapter.spec)
            screen(adapter, adapter.spec, self._config.rounds.max_norm)
            tensors[f"adapter.{name}"] = self._codec.encode(adapter)
        meta: dict[str, JSON] = {
            "action": "take",
            "distances": offer.distances,
            "error": offer.error,
        }
        return encode(Message("adapter", tensors, meta))

    def worth(self, answer: bytes) -> dict[str, float]:
        """What the base model and what it adopted reach on a newcomer's own test examples.

        Raises:
            FedloraError: it does not say so.
        """
        values = decode(answer, ENVELOPE_BYTES).meta.get("values")
        if not isinstance(values, dict):
            raise FedloraError("answer lacks its values")
        metric = "accuracy" if "accuracy" in (values.get("base") or {}) else "nll"
        return {name: value_of(values.get(name), metric) for name in ("base", "adopted")}
