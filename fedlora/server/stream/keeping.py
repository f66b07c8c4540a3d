"""What a stream leaves behind: its branches in the bank, and as PEFT folders."""

import re
from dataclasses import replace

import torch

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.adapter.total import total
from fedlora.backbone import open_slot
from fedlora.bank import Bank, Record
from fedlora.continual.keeper import Keeper
from fedlora.server.stream.context import Plan, StreamContext


class Keepsakes:
    """Every step's branch goes into the bank beside the mean feature of its tasks.

    adapters/NN_TASK/ holds the branch with its heads, adapters/all/ the sum of all branches with
    the heads of all tasks: the whole model after the stream, for plain PEFT.
    """

    def __init__(self, context: StreamContext, plan: Plan) -> None:
        self._context, self._plan = context, plan
        self._bank = Bank.open(context.folder / "bank", context.spec, create=True)

    def add(self, step: int, branch: LoraAdapter, keeper: Keeper, tasks: list[int]) -> None:
        """A step's branch, as the server keeps it, and its tasks' heads as they are then."""
        names = "+".join(self._plan.tasks[task] for task in tasks)[:900]
        rank = max(layer.rank for layer in branch.spec.layers)
        record = Record(names, 0, step, 0, rank, self._context.seed, {})
        vector = torch.stack([self._plan.vectors[task] for task in tasks]).mean(0)
        self._bank.add(record, branch, vector)
        readable = re.sub(r"[^A-Za-z0-9=.,_-]+", "-", names)[:60].strip("-.") or "task"
        adapter = keeper.with_head(branch, tasks)
        facts = f"Step {step + 1} of a stream: {names}. Its head tells its own classes apart."
        if len(keeper.state.branches) > 1:
            facts += (
                " It was trained on the base model with the branches of the steps before it added,"
                " and is right on top of their sum alone; adapters/all is the sum of all."
            )
        self._save(f"{step + 1:02d}_{readable}", adapter, facts)

    def finish(self, keeper: Keeper) -> str:
        """The whole model as one adapter; the digest of all branches."""
        branches = keeper.state.branches
        if branches:
            whole = total(branches)
            met = sorted(keeper.heads)
            tensors = keeper.head(met).tensors()
            head = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
            adapter = LoraAdapter(replace(whole.spec, head=head), whole.down, whole.up, tensors)
            classes = ", ".join(name for task in met for name in self._plan.classes[task])
            facts = f"The whole stream: the sum of all branches. Rows of its head: {classes}."
            self._save("all", adapter, facts)
        return self._bank.digest()

    def _save(self, name: str, adapter: LoraAdapter, facts: str) -> None:
        config = self._context.config
        base = open_slot(config.backbone, config.lora, config.runtime.device).base
        folder = self._context.folder / "adapters" / name
        peft_folder.save(adapter, folder, base.reference, base.task_type, facts)
