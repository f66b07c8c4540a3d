"""The main job, measured: the gap closed, time, determinism, resumption, PEFT, bytes."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedlora.bench.claims import plain_claim
from fedlora.bench.commands import count_answers, finish, make_test, start
from fedlora.bench.peft_check import peft_difference
from fedlora.results import BenchResults, Claim, write_results
from fedlora.run_folder import seed_folder
from fedlora.server.observer import Observer

QUICKSTART = Path("configs/quickstart.yaml")
# The quickstart in small, for what does not depend on its size.
SMALL = (
    "tasks.bank=8",
    "tasks.held_out=3",
    "warm_start.rounds=2",
    "finetune.epochs=2",
    "tasks.splits.train=100",
)
# Shares of a run's answers after which it is killed, and files whose writing is interrupted.
KILLED_AT = (0.1, 0.5, 0.95)
KILLED_BY = ("bank/adapters", "checkpoints/cvae")


def bench_main(out: Path, observer: Observer) -> BenchResults:
    """Measure claims M1 to M7 and write them.

    Raises:
        FedloraError: a run fails, or the results cannot be written.
    """
    started = time.perf_counter()
    observer.phase("make test", 1)
    tests = make_test()  # first: a test compares the pages with the file that is written here
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        observer.phase("quickstart", 1)
        began = time.perf_counter()
        quickstart = finish(start(QUICKSTART, root / "quickstart"))
        seconds = time.perf_counter() - began
        observer.phase("inprocess against ray", 1)
        reference = finish(start(QUICKSTART, root / "reference", *SMALL))
        on_ray = finish(start(QUICKSTART, root / "ray", *SMALL, "runtime.name=ray"))
        survived, kills = _kill_and_resume(root, reference, observer)
        observer.phase("plain PEFT", 1)
        difference = peft_difference(root / "quickstart")
    same = float(on_ray["fingerprint"] == reference["fingerprint"])
    claims = [
        _gap_claim(quickstart),
        plain_claim("M2", "quickstart, wall time", seconds, "<=", 600, "s"),
        plain_claim("M3", "equal hashes of bank, generator and table on Ray", same, "==", 1),
        plain_claim(
            "M4", f"of {kills} killed runs, resumed to equal hashes", survived, "==", kills
        ),
        plain_claim("M5", "largest difference to plain PEFT's outputs", difference, "==", 0),
        *_byte_claims(quickstart["bytes"]),
        plain_claim("M7", "make test, wall time", tests, "<=", 1200, "s"),
    ]
    elapsed = time.perf_counter() - started
    rows, seeds = _rows(quickstart), quickstart["seeds"]
    return write_results(out, "main", "make bench-main", rows, claims, seeds, elapsed)


def _kill_and_resume(root: Path, reference: dict[str, Any], observer: Observer) -> tuple[int, int]:
    """How many runs, killed at different moments, ended as the whole one did; and of how many."""
    moments: list[Callable[[Path], bool]] = [
        *(_answered(int(share * reference["answers"])) for share in KILLED_AT),
        *(_begun(path) for path in KILLED_BY),
    ]
    observer.phase("killed and resumed", len(moments))
    survived = sum(
        _survives(root / f"killed-{place}", moment, reference, observer)
        for place, moment in enumerate(moments)
    )
    return survived, len(moments)


def _answered(answers: int) -> Callable[[Path], bool]:
    return lambda folder: count_answers(folder) >= answers


def _begun(path: str) -> Callable[[Path], bool]:
    return lambda folder: (seed_folder(folder, 0) / path).exists()


def _survives(
    folder: Path, moment: Callable[[Path], bool], reference: dict[str, Any], observer: Observer
) -> bool:
    """Whether a run that was killed at a moment ends, resumed, as the whole one did."""
    run = start(QUICKSTART, folder, *SMALL)
    killed = run.kill_when(moment)
    resumed = finish(run.resumed())
    observer.advance()
    return killed and bool(resumed["fingerprint"] == reference["fingerprint"])


def _gap_claim(results: dict[str, Any]) -> Claim:
    found = next(row for row in results["summary"] if row["method"] == "generated")["gap"]
    return Claim(
        id="M1",
        what="share of the gap that generated adapters close on held-out tasks",
        value=found["mean"],
        low=found["low"],
        high=found["high"],
        sense=">=",
        target=0.8,
    )


def _byte_claims(counted: dict[str, Any]) -> list[Claim]:
    """The run's bytes beside both rivals', among the bank's clients and with the newcomers."""
    total = counted["up"] + counted["down"]
    judged = sum(way["serialised"] for way in counted["by_purpose"]["evaluation"].values())
    rivals = {
        "FedAvg of LoRAs by the bank's clients": "fedavg_lora_of_bank",
        "FedAvg of LoRAs by all clients": "fedavg_lora",
        "full fine-tuning by all clients": "full_finetuning",
    }
    return [
        plain_claim("M6", f"bytes {what} as a share of {rival}", sent / counted[key], "<=", 1)
        for what, sent in (("in all", total), ("without evaluation", total - judged))
        for rival, key in rivals.items()
    ]


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a method: its mean and interval, and the share of the gap with its own."""
    return [
        {
            "method": row["method"],
            results["metric"]: row["value"]["mean"],
            "low": row["value"]["low"],
            "high": row["value"]["high"],
            **{
                name: row["gap"] and row["gap"][key]
                for name, key in (("gap", "mean"), ("gap low", "low"), ("gap high", "high"))
            },
            "tasks": row["value"]["n"],
            "gap tasks": row["gap"]["n"] if row["gap"] else 0,
        }
        for row in results["summary"]
    ]
