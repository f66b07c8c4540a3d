"""Claims D1 to D5: deployments measured, broken and intruded upon, on this machine."""

import json
import stat
import tempfile
from pathlib import Path
from typing import Any

from fedlora import run_folder
from fedlora.bench.by_parts import Found, Row, by_parts
from fedlora.bench.claims import plain_claim
from fedlora.bench.deploy.intruders import Tried, misfits, strangers
from fedlora.bench.deploy.newcomers import Served, newcomer_data, take_part
from fedlora.bench.deploy.pings import Cost, Question, Side, measure
from fedlora.bench.deploy.rehearsal import Rehearsal, rehearsal
from fedlora.bench.deploy.survival import Struck, disturb, links, possible
from fedlora.bench.kept import Kept
from fedlora.config import RunConfig, dump, from_dict
from fedlora.results import BenchResults, Claim
from fedlora.runtime import run as running
from fedlora.server.observer import Observer, Silent

SECTIONS = ("costs", "federation", "faults")
NAMES = ("server", "client-0", "client-1", "newcomer")
_TURNS = 4


def bench_deploy(out: Path, only: list[str], observer: Observer) -> BenchResults:
    """Measure the sections, all of them unless some are named, and write what was found.

    The file is written after each section, so a bench that is ended keeps what it has.

    Raises:
        FedloraError: there is no such section, a run fails, or the results cannot be written.
    """

    def measure(section: str) -> Found:
        observer.phase(section, 1)
        with tempfile.TemporaryDirectory(prefix="fedlora-bench-") as scratch:
            return _SECTIONS[section](Path(scratch), observer)

    kept: Kept[Row] = Kept(None, Row)
    return by_parts(out, "deploy", SECTIONS, only, measure, (0,), kept)


def tiny(rounds: int = 0) -> RunConfig:
    """Four tasks in the bank and a newcomer: small, so that what carries it can be seen."""
    return from_dict(
        {
            "name": "tiny",
            "backbone": {"name": "tiny_vit"},
            "lora": {"rank": 2},
            "tasks": {
                "name": "image_domains",
                "bank": 4,
                "held_out": 1,
                "splits": {"train": 32, "validation": 16, "test": 16},
            },
            "warm_start": {"rounds": rounds},
            "finetune": {"epochs": 1},
            "generator": {"name": "mean"},
            "adoption": {"policy": {"name": "given"}},
            "evaluation": {"baselines": [{"name": "nearest"}], "few_labels": 8},
        },
        origin="the bench",
    )


def reviews() -> RunConfig:
    """Two clients whose MiniLM learns from 64 reviews each, from an adapter of their own."""
    return from_dict(
        {
            "name": "reviews",
            "backbone": {"name": "minilm", "max_length": 32},
            "lora": {"rank": 8},
            "tasks": {
                "name": "class_subsets",
                "source": {"name": "clothing_reviews", "label": "class"},
                "classes_per_task": 4,
                "bank": 2,
                "held_out": 1,
                "splits": {"train": 64, "validation": 8, "test": 8},
            },
            "finetune": {"epochs": 1, "batch_size": 16, "init": "independent"},
        },
        origin="the bench",
    )


def costs(scratch: Path, _: Observer) -> Found:
    """A message by Flower's own process and by a warm worker, asked in turn."""
    with rehearsal(scratch, clients=2, secure=False) as federation:
        federation.serve()
        warm = federation.join(0)
        stock = federation.stock(1)
        sides = [Side("Flower's process a message", 1, stock), Side("warm worker", 0, warm)]
        questions = [
            Question("empty", tiny().model_dump_json()),
            Question("MiniLM fine-tunes", reviews().model_dump_json(), "finetune"),
        ]
        found = measure(federation, questions, sides, _TURNS)
    return _cost_rows(found), _cost_claims(*found[: len(sides)])


def federation(scratch: Path, observer: Observer) -> Found:
    """A whole run with TLS and keys, newcomers after it, and intruders all along."""
    config = tiny()
    reference = running.run(config, run_folder.create_at(config, scratch / "here"), Silent())
    file = scratch / "config.yaml"
    file.write_text(dump(config))
    data = newcomer_data(scratch / "newcomer")
    with (
        links(NAMES, observer) as joined,
        rehearsal(scratch / "there", clients=2, hosts=joined) as there,
    ):
        there.serve()
        for number in (0, 1):
            there.join(number)
        there.submit(file)
        tried = strangers(there)
        results = there.results()
        record = json.loads((there.run / "deployment" / "run.json").read_text())
        served = [take_part(there, data, f"newcomer-{n}") for n in (0, 1)]
        tried += misfits(there, data)
        secret = _careless(there)
    same = results["fingerprint"] == reference["fingerprint"]
    return (
        [*_run_rows(results, record), *_newcomer_rows(served), *_intruder_rows(tried)],
        [
            plain_claim(
                "D1", "equal hashes of bank, generator and table in process", same, "==", 1
            ),
            *_newcomer_claims(served),
            *_intruder_claims(tried),
            plain_claim("D5", "secrets in logs, or in files that others can read", secret, "==", 0),
        ],
    )


def faults(scratch: Path, observer: Observer) -> Found:
    """A run that everything happens to, beside the same run in process."""
    with links(NAMES[:3], observer) as joined:
        suffered = 2 * possible(joined)  # at several points
        config = tiny(rounds=2 * len(suffered))
        reference = running.run(config, run_folder.create_at(config, scratch / "here"), Silent())
        file = scratch / "config.yaml"
        file.write_text(dump(config))
        struck = disturb(scratch / "there", file, suffered, joined, observer)
    return _fault_rows(struck), _fault_claims(struck, reference)


_SECTIONS = {"costs": costs, "federation": federation, "faults": faults}


def _cost_rows(found: list[Cost]) -> list[dict[str, Any]]:
    return [
        {
            "table": "message",
            "what": f"{c.side}: {c.question}",
            "seconds": c.wall,
            "cpu": c.cpu,
            "n": c.messages,
        }
        for c in found
    ]


def _cost_claims(stock: Cost, warm: Cost) -> list[Claim]:
    return [
        plain_claim("D2", "CPU time of a message with a warm worker", warm.cpu, "<=", 0.6, "s"),
        plain_claim(
            "D2",
            "CPU time of Flower's process a message, as a multiple of that",
            stock.cpu / warm.cpu,
            ">=",
            5 / 0.6,
        ),
    ]


def _run_rows(results: dict[str, Any], record: dict[str, Any]) -> list[dict[str, Any]]:
    sent = results["bytes"]
    both, total = sent["up"] + sent["down"], record["network-traffic"]["total-bytes"]
    return [
        {"table": "bytes", "what": "messages of the run, both ways", "bytes": both},
        {"table": "bytes", "what": "all that Flower moved for it", "bytes": total},
    ]


def _newcomer_rows(served: list[Served]) -> list[dict[str, Any]]:
    return [{"table": "newcomer", "what": s.adapter.name, "seconds": s.seconds} for s in served]


def _newcomer_claims(served: list[Served]) -> list[Claim]:
    """Wall time, from when the newcomer's command begins to connect to the adapter tried there."""
    what = ("the first newcomer", "the second newcomer")
    return [
        plain_claim("D3", f"{name}, from joining to its adapter", each.seconds, "<=", 15, "s")
        for name, each in zip(what, served, strict=True)
    ]


def _intruder_claims(tried: list[Tried]) -> list[Claim]:
    refused = sum(each.refused for each in tried)
    what = f"of {len(tried)} intruders, refused by both sides with a reason"
    return [plain_claim("D5", what, refused, "==", len(tried))]


def _intruder_rows(tried: list[Tried]) -> list[dict[str, Any]]:
    return [
        {
            "table": "intruder",
            "what": t.name,
            "refused": t.refused,
            "client said": t.client_said,
            "server said": t.server_said,
        }
        for t in tried
    ]


def _fault_rows(struck: Struck) -> list[dict[str, Any]]:
    return [
        {"table": "fault", "what": name, "survived": survived}
        for name, survived in struck.survived.items()
    ]


def _fault_claims(struck: Struck, reference: dict[str, Any]) -> list[Claim]:
    tried, survived = len(struck.survived), sum(struck.survived.values())
    same = struck.results["fingerprint"] == reference["fingerprint"]
    return [
        plain_claim("D4", f"of {tried} faults in one run, survived", survived, "==", tried),
        plain_claim("D4", "contributions lost to them", struck.lost, "==", 0),
        plain_claim("D4", "equal hashes of bank, generator and table undisturbed", same, "==", 1),
    ]


def _careless(there: Rehearsal) -> int:
    """Secrets that stand in a log, and files of keys that others can read."""
    logs, careless = there.logs(), 0
    for file in (there.folder / "fed").rglob("*.key"):
        telling = file.read_text().splitlines()[-3]  # the first lines are the format's
        careless += stat.S_IMODE(file.stat().st_mode) != 0o600
        careless += telling[:40] in logs or "PRIVATE KEY" in logs
    return careless
