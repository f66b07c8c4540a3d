"""The main job, measured: the gap closed, time, determinism, resumption, PEFT, bytes."""

import tempfile
import time
from pathlib import Path
from typing import Any

from fedlora.bench.commands import finish, make_test, start
from fedlora.bench.peft_check import peft_difference
from fedlora.results import BenchResults, Claim, write_results
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
# Shares of a run's answers after which it is killed; the last falls into the judging.
KILLED_AT = (0.05, 0.3, 0.55, 0.75, 0.9)


def bench_main(out: Path, observer: Observer) -> BenchResults:
    """Measure claims M1 to M7 and write them.

    Raises:
        FedloraError: a run fails, or the results cannot be written.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        observer.phase("quickstart", 1)
        began = time.perf_counter()
        quickstart = finish(start(QUICKSTART, root / "quickstart"))
        seconds = time.perf_counter() - began
        observer.phase("inprocess against ray", 1)
        reference = finish(start(QUICKSTART, root / "reference", *SMALL))
        on_ray = finish(start(QUICKSTART, root / "ray", *SMALL, "runtime.name=ray"))
        observer.phase("killed and resumed", len(KILLED_AT))
        survived = sum(
            _survives(root / f"killed-{at}", at, reference, observer) for at in KILLED_AT
        )
        observer.phase("plain PEFT", 1)
        difference = peft_difference(root / "quickstart")
    observer.phase("make test", 1)
    same = float(on_ray["fingerprint"] == reference["fingerprint"])
    kills = len(KILLED_AT)
    claims = [
        _gap_claim(quickstart),
        _claim("M2", "quickstart, wall time", seconds, "s", "<=", 600),
        _claim(
            "M3", "equal hashes of bank, generator and table on Ray", same, "", "==", 1
        ),
        _claim("M4", f"of {kills} killed runs, resumed to equal hashes", survived, "", "==", kills),
        _claim("M5", "largest difference to plain PEFT's outputs", difference, "", "==", 0),
        *_byte_claims(quickstart["bytes"]),
        _claim("M7", "make test, wall time", make_test(), "s", "<=", 1200),
    ]
    elapsed = time.perf_counter() - started
    command = "make bench-main"
    return write_results(
        out, "main", command, _rows(quickstart), claims, quickstart["seeds"], elapsed
    )


def _survives(folder: Path, at: float, reference: dict[str, Any], observer: Observer) -> bool:
    """Whether a run that was killed after a share of its answers ends as the whole one did."""
    run = start(QUICKSTART, folder, *SMALL)
    run.kill_after(int(at * reference["answers"]))
    resumed = finish(run.resumed())
    observer.advance()
    return bool(resumed["fingerprint"] == reference["fingerprint"])


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
    """The run's bytes without the evaluation that only a study needs."""
    judged = sum(counted["by_purpose"].get("evaluation", {}).values())
    sent = counted["up"] + counted["down"] - judged
    rivals = {"FedAvg of LoRAs": "fedavg_lora", "full fine-tuning": "full_finetuning"}
    return [
        _claim("M6", f"bytes of the run as a share of {name}", sent / counted[key], "", "<=", 1)
        for name, key in rivals.items()
    ]


def _claim(name: str, what: str, value: float, unit: str, sense: str, target: float) -> Claim:
    return Claim.model_validate(
        {"id": name, "what": what, "value": value, "unit": unit, "sense": sense, "target": target}
    )


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
        }
        for row in results["summary"]
    ]
