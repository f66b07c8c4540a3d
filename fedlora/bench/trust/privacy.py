"""What protection of examples and of clients costs, and what attacks find in spite of it."""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter, bundle
from fedlora.bank import Bank
from fedlora.bench.trust.privacy_plan import CLIENTS, PrivateCase, config_of
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import RunConfig
from fedlora.evaluation.membership import Told, membership, pooled, vector_membership
from fedlora.evaluation.reconstruction import likeness, match, reconstruct
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.runtime.inprocess import InPacks
from fedlora.server.federation import federate
from fedlora.server.groups import COMMON
from fedlora.server.groups import PHASE as ROUNDS
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent

Row = dict[str, Any]

ATTACKED = 3
"""Bank clients that are attacked in each federation."""


@dataclass(frozen=True, eq=False)
class Victim:
    """A client that is attacked, and what it sent: an adapter, a task vector (width,)."""

    desk: Desk
    adapter: LoraAdapter
    vector: Tensor


def live_private(case: PrivateCase) -> Row:
    """The row of a case.

    accuracy: newcomers' mean, of what is protected: the generated adapters, or the common adapter
    of the warm start where whole clients are; base: without any. together: epsilon of all that the
    generated adapters are made of, adapters and task vectors (basic composition: deltas add up as
    well); None without protection. membership: of bank clients'
    adapters; vector_membership: of their task vectors. image, other_image: the likeness of what a
    task vector gives away to the images that it is made of, and to others of the same task;
    adapter_image, adapter_other_image: of what an adapter does. NAME_surely: members of NAME that
    stand out where hardly any other does.
    """
    config = config_of(case)
    client = Client(config, case.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clients = InPacks(client.handle_many, config.runtime.together)
        federate(config, case.seed, clients, folder, Silent())
        table = json.loads((folder / "table.json").read_text())["rows"]
        row = _worth(case, table)
        if case.family == CLIENTS:
            return row
        bank = Bank.open(folder / "bank")
        known = [record for record in bank.records() if record.round == 0][:ATTACKED]
        victims = [
            Victim(client.desk(each.client), bank.load(each.digest), bank.vector(each))
            for each in known
        ]
        start = _start(config, folder)
    told = [
        membership(each.desk.objective, each.adapter, each.desk.train, each.desk.test)
        for each in victims
    ]
    vectors = [_vector_told(config, each) for each in victims]
    for name, found in (("membership", told), ("vector_membership", vectors)):
        row[name] = mean(each.chance for each in found)
        row[f"{name}_surely"] = mean(each.surely for each in found)
    return row | (_images(config, victims, start, case.seed) if case.family == "vision" else {})


def _start(config: RunConfig, folder: Path) -> LoraAdapter:
    """What every bank client has fine-tuned from: fedavg's common adapter after its last round."""
    journal = Journal(folder / "checkpoints" / "journal.sqlite")
    try:
        state = journal.outcome(ROUNDS, config.warm_start.rounds)
    finally:
        journal.close()
    assert state is not None
    return bundle.from_bytes(state)[f"all/{COMMON}"]


def _worth(case: PrivateCase, table: Sequence[Row]) -> Row:
    protected = "warm" if case.family == CLIENTS else "generated"
    return {
        "family": case.family,
        "epsilon": case.epsilon,
        "together": _together(case),
        "seed": case.seed,
        "accuracy": mean(r["value"] for r in table if r["method"] == protected),
        "base": mean(r["value"] for r in table if r["method"] == "base"),
    }


def _together(case: PrivateCase) -> float | None:
    if not isinstance(case.epsilon, float):
        return None
    return case.epsilon if case.family == CLIENTS else 2 * case.epsilon


def _vector_told(config: RunConfig, victim: Victim) -> Told:
    """By an attacker who knows half of the client's examples that it was not made from."""
    budget = config.privacy.task_vector if config.privacy else None
    clip = budget.clip if budget else math.inf
    objective = victim.desk.objective
    members = pooled(objective, _seen(config, victim.desk), clip)
    known, others = pooled(objective, victim.desk.test, clip).chunk(2)
    return vector_membership(victim.vector, members, others, known)


def _seen(config: RunConfig, desk: Desk) -> Rows:
    """The examples that a client's task vector is made from."""
    return take(desk.train, torch.arange(min(desk.examples, config.task_vector.samples)))


def _images(config: RunConfig, victims: Sequence[Victim], start: LoraAdapter, seed: int) -> Row:
    """What is made of the first client's vector and, an image for each class, of its adapter.

    Other images are of its own task, so that what is told of the task alone counts for nothing.
    """
    own = victims[0].desk
    of_vector = reconstruct(own.objective, victims[0].vector, own.train)
    classes = torch.arange(len(own.objective.label_names))
    of_adapter = match(own.objective, start, victims[0].adapter, own.train, classes, seed)
    near = _seen(config, own)["pixel_values"]
    trained, others = own.train["pixel_values"], own.test["pixel_values"]
    return {
        "image": likeness(of_vector, near),
        "other_image": likeness(of_vector, others[: len(near)]),
        "adapter_image": likeness(of_adapter, trained),
        "adapter_other_image": likeness(of_adapter, others[: len(trained)]),
    }
