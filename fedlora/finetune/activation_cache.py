"""What the frozen blocks below the lowest adapter say of a shard, computed once."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.lower_blocks import BELOW, NothingBelowError, lower_blocks, replay
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import batches
from fedlora.finetune.state_store import StateStore

RECORDING_BATCH = 64
TRIAL_ROWS = 8


class ActivationCache:
    """The states that enter the lowest adapted block, of as many shards as a store holds.

    Blocks below it are frozen, without dropout, and the same for every adapter, so their states
    serve all epochs, rounds and candidates of a shard: exact, as far as the same sum over another
    batch is. Which rows are recorded depends on the shard and the budgets alone, never on what
    else is held; what does not fit any more is recorded again.

    Args:
        slot: the wrapped base model.
        store: keeps them; without room for anything, the cache is off.

    Attributes:
        refusal: why nothing is recorded for this model, in one line; empty otherwise.
        remark: the same for a person, where one may have expected otherwise; empty where
            the adapters start in the first block, so that there is nothing to record.
    """

    def __init__(self, slot: AdapterSlot, store: StateStore) -> None:
        self.slot = slot
        self.store = store
        self.refusal = self.remark = ""
        self._tried = False

    def extend(self, shard: object, objective: Objective, rows: Rows) -> Rows:
        """The rows with their states beside them, or as they are if these cannot be kept.

        shard: names the rows; rows of the same name are the same.
        """
        states = self.store.find(shard)
        if states is None:
            if not self.store.most or not self._works(objective, rows):
                return rows
            states = record(objective, rows, self.store)
            if states is None:
                return rows
            self.store.keep(shard, states)
        return rows | {BELOW: states}

    def _works(self, objective: Objective, rows: Rows) -> bool:
        """Try it on a few rows, once."""
        if not self._tried:
            self._tried = True
            try:
                _try(objective, next(batches(rows, TRIAL_ROWS)))
            except NothingBelowError as nothing:
                self.refusal = str(nothing)
            except FedloraError as refusal:
                self.refusal = str(refusal)
                self.remark = (
                    f"{refusal}; nothing is kept (no attempt is made with"
                    " runtime.activation_cache=0 and runtime.activation_disk=0)"
                )
        return not self.refusal


def record(objective: Objective, rows: Rows, store: StateStore) -> Tensor | None:
    """What enters the lowest adapted block for each row, (n, ...); None if there is no room.

    Texts are filled up with zeros to (n, longest, width).

    Raises:
        FedloraError: the model has no blocks below its adapters, or unusual ones.
    """
    last = lower_blocks(objective.slot)[-1]
    n = len(next(iter(rows.values())))
    longest = rows["attention_mask"].shape[-1] if "attention_mask" in rows else None
    out: Tensor | None = None
    done = 0
    for batch in batches(rows, RECORDING_BATCH):
        states = _reached(objective, last, batch)
        if longest is not None:
            states = functional.pad(states, (0, 0, 0, longest - states.shape[1]))
        if out is None:
            out = store.empty(torch.Size([n, *states.shape[1:]]), states.dtype, states.device)
        if out is None:
            return None
        out[done : done + len(states)] = states
        done += len(states)
    return out


class _ReachedError(Exception):
    """The states are there; the rest of the pass is not needed."""


def _reached(objective: Objective, block: nn.Module, rows: Rows) -> Tensor:
    """A block's output for a batch, (n, ...)."""
    seen: list[Any] = []

    def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(output)
        raise _ReachedError

    hook = block.register_forward_hook(stop)
    try:
        with torch.no_grad(), suppress(_ReachedError):
            objective.respond(rows)
    finally:
        hook.remove()
    rows_in = len(next(iter(rows.values())))
    if len(seen) != 1 or not isinstance(seen[0], Tensor) or len(seen[0]) != rows_in:
        raise FedloraError("activation cache: the blocks pass on more than one state a row")
    return seen[0]


def _try(objective: Objective, rows: Rows) -> None:
    """Refuse a model whose lower blocks change, or that uses more of them than the last's states.

    Raises:
        FedloraError: which of these it is.
    """
    blocks = lower_blocks(objective.slot)
    if any(p.requires_grad for block in blocks for p in block.parameters()):
        raise FedloraError("activation cache: a block below the adapters trains")
    if any(module.training for block in blocks for module in block.modules()):
        raise FedloraError("activation cache: a block below the adapters is in training mode")
    states = _reached(objective, blocks[-1], rows)
    with torch.no_grad():
        plain = objective.respond(rows)
        with replay(objective.slot, rows | {BELOW: states}):
            replayed = objective.respond(rows)
    if not torch.equal(plain, replayed):
        raise FedloraError("activation cache: the upper blocks use more than the states below")
