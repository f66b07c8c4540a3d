"""Hostile inputs that atheris chooses by the code that they reach, a process a reader."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fedlora.bench.claims import plain_claim
from fedlora.errors import FedloraError
from fedlora.results import Claim

PYTHON, SCRIPT = Path(".cache/atheris/bin/python"), Path("scripts/fuzz.py")
RUNS = 5000
"""Inputs of each reader."""
LEAST = 100_000
_DONE = re.compile(r"Done (\d+) runs")

Row = dict[str, Any]


def guided(readers: Sequence[str], workers: int, runs: int = RUNS) -> list[Row]:
    """A row a reader: how many inputs it read, and what it died of; no row without atheris."""
    if not PYTHON.exists():
        return []
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda reader: _guided(reader, runs), readers))


def _guided(reader: str, runs: int) -> Row:
    python, script = PYTHON.absolute(), SCRIPT.absolute()
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [python, script, reader, "--runs", str(runs)],
            cwd=scratch,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    found = _DONE.search(done.stderr)
    if done.returncode == 0 and found is None:
        raise FedloraError(f"{SCRIPT}: '{reader}' came to no end and no crash")
    died = "" if done.returncode == 0 else _reason(done.stderr)
    return {"reader": reader, "inputs": int(found[1]) if found else 0, "died": died}


def _reason(said: str) -> str:
    """The line that names what was raised, or the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason"]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (named or lines)[-1][:200]


def guided_claims(rows: Sequence[Row]) -> list[Claim]:
    """T2: how many inputs there were, and how many readers died of one."""
    chosen = "hostile inputs that atheris chose by the code they reach"
    died = "readers that died of one of these"
    if not rows:
        reason = "atheris is not installed: make bench-trust installs it where it has wheels"
        return [
            Claim(id="T2", what=chosen, value=None, sense=">=", target=LEAST, reason=reason),
            Claim(id="T2", what=died, value=None, sense="==", target=0, reason=reason),
        ]
    inputs = float(sum(row["inputs"] for row in rows))
    return [
        plain_claim("T2", chosen, inputs, ">=", LEAST),
        plain_claim("T2", died, float(sum(bool(row["died"]) for row in rows)), "==", 0.0),
    ]
