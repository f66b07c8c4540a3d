"""Results are files: what a bench measured, on which machine, and the claims it was to show."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import psutil
import torch
from pydantic import ConfigDict, FiniteFloat, ValidationError, model_validator

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.section import Section


class Claim(Section):
    """One number that was promised beside the number that was measured.

    A target that was missed stays in the file with its value. One id may stand several times,
    once for each family or case; `what` tells them apart.

    value: None where it could not be measured here; then `reason` says why.
    low, high: the 95% interval of `value`, absent where it was measured once or is exact.
    unit: of value, low, high and target alike; empty for a plain number.
    surely: whether the whole interval, and not only the value, is to reach the target; without an
        interval it does not.
    part: of the bench that shows it; empty where several do together.
    """

    id: str
    what: str
    value: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    unit: str = ""
    sense: Literal[">=", "<=", "=="]
    target: FiniteFloat
    surely: bool = False
    reason: str = ""
    part: str = ""

    @model_validator(mode="after")
    def _check_reason(self) -> Self:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a claim has a value, or a reason why it has none")
        return self

    @property
    def wanted(self) -> str:
        """The sense in words."""
        words = {">=": "at least", "<=": "at most", "==": "exactly"}[self.sense]
        return f"surely {words}" if self.surely else words

    @property
    def met(self) -> bool | None:
        """Whether what was measured reaches the target."""
        if self.value is None:
            return None
        low, high = self.value, self.value
        if self.surely:
            if self.low is None or self.high is None:
                return False
            low, high = self.low, self.high
        return {
            ">=": low >= self.target,
            "<=": high <= self.target,
            "==": low == self.target == high,
        }[self.sense]


class Machine(Section):
    """Where a bench ran; `memory` in bytes, `gpu` None without one."""

    cpu: str
    cores: int
    memory: int
    gpu: str | None

    def like(self, other: "Machine") -> bool:
        """Whether both are the same, but for what a kernel keeps of the memory at each start."""
        apart = abs(self.memory - other.memory)
        return apart < self.memory / 100 and self == other.model_copy(
            update={"memory": self.memory}
        )


class Part(Section):
    """One part of a bench: the commit of the code that measured it, and its wall time."""

    name: str
    commit: str
    seconds: float


class BenchResults(Section):
    """The whole of results/NAME.json; `seconds` is the wall time of `command`.

    parts: of a bench whose parts can be measured one by one; their rows say whose they are.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    bench: str
    command: str
    commit: str
    machine: Machine
    seconds: float
    seeds: tuple[int, ...]
    rows: tuple[dict[str, str | bool | int | float | None], ...]
    claims: tuple[Claim, ...]
    parts: tuple[Part, ...] = ()


def write_results(
    path: Path,
    bench: str,
    command: str,
    rows: Sequence[dict[str, Any]],
    claims: Sequence[Claim],
    seeds: Sequence[int],
    seconds: float,
    parts: Sequence[Part] = (),
) -> BenchResults:
    """Write what a bench measured, with the commit and the machine it was measured on.

    Raises:
        FedloraError: a value is not finite, or the file cannot be written.
    """
    try:
        results = BenchResults(
            bench=bench,
            command=command,
            commit=this_commit(),
            machine=this_machine(),
            seconds=round(seconds, 1),
            seeds=tuple(seeds),
            rows=tuple(rows),
            claims=tuple(claims),
            parts=tuple(parts),
        )
    except ValidationError as error:
        raise FedloraError(f"{path}: {_first(error)}; a result is a finite number") from None
    atomic.write_text(path, results.model_dump_json(indent=1) + "\n")
    return results


def read(path: Path) -> BenchResults:
    """Read one results file.

    Raises:
        FedloraError: there is no such file, or it is not what `write_results` writes.
    """
    try:
        return BenchResults.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such results; run the bench that writes it") from None
    except ValidationError as error:
        raise FedloraError(f"{path}: {_first(error)}; run the bench again") from None


def read_all(folder: Path) -> list[BenchResults]:
    """Every results file of a folder, in the order of their names; none where it is missing."""
    return [read(path) for path in sorted(folder.glob("*.json"))]


def claims_table(results: Iterable[BenchResults]) -> list[dict[str, Any]]:
    """One row a claim, in the order of the files: the bench, the claim's fields, and `met`."""
    return [
        {"bench": result.bench, **claim.model_dump(), "met": claim.met}
        for result in results
        for claim in result.claims
    ]


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    )


@cache
def this_commit() -> str:
    """The commit of the checkout this code lies in, "+" after it where tracked code was changed.

    "unknown" where the package lies in no checkout. Looked up once a process, and by a bench before
    it measures: what is checked out meanwhile was not measured.
    """
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}+" if changed else commit


def is_known(commit: str) -> bool:
    """Whether a commit says which code it was: one of changed code, or of none, does not."""
    return commit.isalnum() and commit != "unknown"


def _git(folder: Path, *words: str) -> str:
    """What a git command prints; nothing when it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    """The model name as Linux gives it, or what Python knows of the processor elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(step) for step in first['loc']) or 'the file'}: {first['msg']}"
