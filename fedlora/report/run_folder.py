"""A run folder as it lies on the disk, finished or not."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fedlora.errors import FedloraError
from fedlora.report.results import Results

Record = Mapping[str, Any]


@dataclass(frozen=True)
class SeedFolder:
    """What one seed of the run left behind; a file that is not there yet reads as empty."""

    path: Path
    seed: int

    @cached_property
    def metrics(self) -> list[Record]:
        """Losses and scores by phase, round and client."""
        return json_lines(self.path / "metrics.jsonl")

    @cached_property
    def ledger(self) -> list[Record]:
        """Every message that was counted."""
        return json_lines(self.path / "ledger.jsonl")

    @cached_property
    def reconstruction(self) -> list[Record]:
        """The generated adapter of each bank task beside its trained one."""
        path = self.path / "reconstruction.json"
        found = _json(path) if path.is_file() else []
        if not isinstance(found, list):
            raise FedloraError(f"{path}: not a list of tasks; delete it and resume the run")
        return [record for record in found if isinstance(record, dict)]

    @cached_property
    def trial(self) -> Record:
        """The bank's own trial of who is to serve; empty where none was held."""
        path = self.path / "trial.json"
        found = _json(path) if path.is_file() else {}
        if not isinstance(found, dict):
            raise FedloraError(f"{path}: not a trial; delete it and resume the run")
        return found


@dataclass(frozen=True)
class RunFolder:
    """A run: its configuration, its results so far, and a folder for each seed."""

    path: Path
    config_text: str
    results: Results
    seeds: tuple[SeedFolder, ...]

    @cached_property
    def config(self) -> Record:
        """The resolved configuration; empty when it cannot be read."""
        try:
            found = yaml.safe_load(self.config_text)
        except yaml.YAMLError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def times(self) -> list[Record]:
        """Seconds by kind of work of each process; empty unless the run was profiled."""
        path = self.path / "profile" / "times.json"
        found = _json(path) if path.is_file() else []
        return [record for record in found if isinstance(record, dict)]

    @property
    def name(self) -> str:
        """NAME of NAME_YYYYMMDD_HHMMSS."""
        return re.sub(r"_\d{8}_\d{6}$", "", self.path.name)

    @property
    def started(self) -> str:
        """When the run began, as its folder says; empty where it does not."""
        found = re.search(r"_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)\d\d$", self.path.name)
        return "{}-{}-{} {}:{}".format(*found.groups()) if found else ""


def read(path: Path) -> RunFolder:
    """Read a run folder; a run that was interrupted has fewer files and is read all the same.

    Raises:
        FedloraError: the path is not a run folder, or results.json is not what a run writes.
    """
    path = Path(path).resolve()
    config, results = path / "config.yaml", path / "results.json"
    seeds = sorted(
        (
            SeedFolder(folder, int(folder.name[5:]))
            for folder in path.glob("seed-*")
            if folder.is_dir() and folder.name[5:].isdigit()
        ),
        key=lambda folder: folder.seed,
    )
    if not (config.is_file() or results.is_file() or seeds):
        raise FedloraError(f"{path}: not a run folder (no config.yaml); name one under runs/")
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    found = _results(results) if results.is_file() else _results_so_far(seeds)
    return RunFolder(path, text, found, tuple(seeds))


def json_lines(path: Path) -> list[Record]:
    """The objects of a JSONL file; a line cut short by a kill is passed over."""
    if not path.is_file():
        return []
    found: list[Record] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _results(path: Path) -> Results:
    return _validated(path, _json(path))


def _results_so_far(seeds: Sequence[SeedFolder]) -> Results:
    """The tables of the seeds that are done; results.json comes when all are."""
    rows: list[Any] = []
    metric, lost = "accuracy", []
    for seed in seeds:
        lost += [{"seed": seed.seed, **line} for line in json_lines(seed.path / "lost.jsonl")]
        path = seed.path / "table.json"
        if path.is_file() and isinstance(table := _json(path), dict):
            rows += table.get("rows", [])
            metric = table.get("metric", metric)
    made = {"metric": metric, "higher_is_better": metric != "nll", "rows": rows, "lost": lost}
    return _validated(seeds[0].path if seeds else Path(), made)


def _validated(path: Path, found: Any) -> Results:
    try:
        return Results.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise FedloraError(
            f"{path}: {key}: {first['msg']}; resume the run to write it anew"
        ) from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FedloraError(f"{path}: not JSON ({error}); resume the run to write it") from None
