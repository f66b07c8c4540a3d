"""One federation lived through in this process, and what its newcomers were given is worth."""

import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from fedlora.bank import Bank
from fedlora.bench.trust.plan import TRIGGER, Case, config_of
from fedlora.bench.trust.shared_answers import origin_of, shared
from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.evaluation.attackers import what_came_of_them
from fedlora.evaluation.backdoor import success
from fedlora.runtime.inprocess import InPacks
from fedlora.server.federation import federate
from fedlora.server.hardening import PHASE as TRIMMING
from fedlora.server.observer import Silent

Row = dict[str, Any]


def live(case: Case, answers: Path) -> Row:
    """The row of a case.

    answers: a folder of what clients answered in other federations; none of the defences changes
    what a client does when it is asked the same.

    accuracy: of the generated adapters, newcomers' mean. backdoor: the share of newcomers' marked
    test images of other classes that are taken for the target, which is a rate of errors where
    nobody attacks. kept_out: attackers of whom something was refused, set aside or left out, in a
    round, in the bank or in what a generator learned from, and honest_kept_out: others. A
    federation that came to no end has a reason instead.
    """
    config = config_of(case)
    facts: Row = {
        "attack": case.attack,
        "share": case.share,
        "defence": case.defence,
        "deal": case.deal,
        "seed": case.seed,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        client = Client(config, case.seed)
        try:
            answer = shared(client.handle_many, answers, origin_of(config, case.seed))
            clients = InPacks(answer, config.runtime.together)
            federate(config, case.seed, clients, folder, Silent())
        except FedloraError as error:
            return facts | {"reason": str(error)[:300]}
        table = json.loads((folder / "table.json").read_text())["rows"]
        bank = json.loads((folder / "facts.json").read_text())["bank_clients"]
        struck = what_came_of_them(config, case.seed, bank, _lost(folder))
        return facts | {
            "accuracy": mean(row["value"] for row in table if row["method"] == "generated"),
            "local": mean(row["value"] for row in table if row["method"] == "local"),
            "backdoor": _backdoor(client, Bank.open(folder / "newcomers")),
            "attackers": len(struck["attackers"]),
            "kept_out": struck["caught"],
            "honest_kept_out": struck["wronged"],
        }


def _lost(folder: Path) -> list[Row]:
    """Lines of what was refused or set aside, and of what a generator left out."""
    lost, told = (
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("lost.jsonl", "metrics.jsonl")
    )
    return [*lost, *(line for line in told if line["phase"] == TRIMMING)]


def _backdoor(client: Client, handed: Bank) -> float:
    """Over newcomers, by what they were handed."""
    rates = []
    for record in handed.records():
        desk = client.desk(record.client)
        rates.append(success(desk.objective, handed.load(record.digest), desk.test, TRIGGER))
    return mean(rates)
