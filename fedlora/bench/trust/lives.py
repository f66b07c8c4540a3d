"""One federation lived through in this process, and what its newcomers were given is worth."""

import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from fedlora.attacks.trigger import stamped
from fedlora.bank import Bank
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.bench.trust.plan import MARK, TARGET, Case, config_of
from fedlora.bench.trust.shared_answers import shared
from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.finetune.local import put
from fedlora.finetune.objectives.contract import take
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
    nobody attacks. kept_out: attackers whose adapters wait in quarantine or were trimmed, and
    honest_kept_out: others. A federation that came to no end
    has a reason instead.
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
            origin = f"{case.deal} {case.attack} {case.share} {case.seed}"
            answer = shared(client.handle_many, answers, origin)
            clients = InPacks(answer, config.runtime.together)
            federate(config, case.seed, clients, folder, Silent())
        except FedloraError as error:
            return facts | {"reason": str(error)[:300]}
        table = json.loads((folder / "table.json").read_text())["rows"]
        kept_out = _kept_out(folder)
        ours = client.siege.clients if client.siege else frozenset()
        return facts | {
            "accuracy": mean(row["value"] for row in table if row["method"] == "generated"),
            "local": mean(row["value"] for row in table if row["method"] == "local"),
            "backdoor": _backdoor(client, Bank.open(folder / "newcomers")),
            "attackers": len(ours),
            "kept_out": len(kept_out & ours),
            "honest_kept_out": len(kept_out - ours),
        }


def _kept_out(folder: Path) -> set[int]:
    """Clients in quarantine, or of whom a generator saw a sample less."""
    held = {one.record.client for one in Quarantine(folder / FOLDER) if one.record.round == 0}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return held | {line["client"] for line in told if line["phase"] == TRIMMING}


def _backdoor(client: Client, handed: Bank) -> float:
    rates = []
    for record in handed.records():
        desk = client.desk(record.client)
        others = take(desk.test, torch.nonzero(desk.test["labels"] != TARGET).flatten())
        wanted = torch.full_like(others["labels"], TARGET)
        put(desk.objective, handed.load(record.digest))
        fooled = desk.objective.score({**stamped(others, MARK, 0), "labels": wanted})
        rates.append(fooled[desk.objective.metric])
    return mean(rates)
