"""Where the time went: spans of every process of a run, written down when somebody asks.

A span is a kind of work with its begin and end. Spans nest; a kind's own time leaves out what is
spent in spans inside it, so the kinds of a thread add up to its wall time.
"""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from fedlora import atomic

Kind = Literal[
    "import",
    "model",
    "data",
    "training",
    "evaluation",
    "serialisation",
    "waiting",
    "storing",
    "generator",
]

_FOLDER = "FEDLORA_PROFILE"
_ENOUGH = 256
"""Spans that wait in memory before they are appended to the process's file."""


@dataclass(frozen=True)
class Span:
    """What one thread did from `start`, in seconds since 1970, for `seconds`."""

    kind: Kind
    start: float
    seconds: float
    process: int
    thread: int


@contextmanager
def span(kind: Kind) -> Iterator[None]:
    """Write down how long the block, or the decorated function, takes; free unless asked for."""
    if _FOLDER not in os.environ:
        yield
        return
    start, began = time.time(), time.perf_counter()
    try:
        yield
    finally:
        _note(kind, start, time.perf_counter() - began)


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Record this process and all that it starts, and summarise them when the block ends.

    Args:
        folder: gets ROLE-PID.jsonl from each process that can write there, `times.json` (a list of
            processes with seconds a kind) and `trace.json`, which Perfetto and chrome://tracing
            open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.jsonl"):
        file.unlink()  # of an earlier start of the same run
    os.environ[_FOLDER] = str(folder.absolute())
    born = psutil.Process().create_time()
    _note("import", born, time.time() - born)
    try:
        yield
    finally:
        flush()
        del os.environ[_FOLDER]
        _summarise(folder)


def serve() -> None:
    """This process is the run's server."""
    global _role  # noqa: PLW0603 - a process has one role
    _role = "server"


def inherited() -> dict[str, str]:
    """What a process of the run needs in its environment to record too."""
    return {_FOLDER: os.environ[_FOLDER]} if _FOLDER in os.environ else {}


def own_times(spans: list[Span]) -> dict[str, float]:
    """Seconds of each kind in one thread, without what is spent in spans inside.

    `other` is the time between the first begin and the last end that no span covers.
    """
    times: dict[str, float] = defaultdict(float)
    open_spans: list[Span] = []
    ordered = sorted(spans, key=lambda span: (span.start, -span.seconds))
    covered = 0.0
    for each in ordered:
        while open_spans and each.start >= open_spans[-1].start + open_spans[-1].seconds:
            open_spans.pop()
        times[each.kind] += each.seconds
        if open_spans:
            times[open_spans[-1].kind] -= each.seconds
        else:
            covered += each.seconds
        open_spans.append(each)
    if ordered:
        end = max(span.start + span.seconds for span in ordered)
        times["other"] = max(end - ordered[0].start - covered, 0.0)
    return dict(times)


def flush() -> None:
    """Append what waits to this process's file; a folder that is not here is let be."""
    with _lock:
        lines = [json.dumps(asdict(span)) for span in _waiting]
        _waiting.clear()
    folder = os.environ.get(_FOLDER)
    if lines and folder and Path(folder).is_dir():
        with Path(folder, f"{_role}-{os.getpid()}.jsonl").open("a") as file:
            file.write("\n".join(lines) + "\n")


_role = "node"
_waiting: list[Span] = []
_lock = threading.Lock()


def _note(kind: Kind, start: float, seconds: float) -> None:
    with _lock:
        _waiting.append(Span(kind, start, seconds, os.getpid(), threading.get_ident()))
        full = len(_waiting) >= _ENOUGH
    if full:
        flush()


def _summarise(folder: Path) -> None:
    """times.json and trace.json from the files of the processes."""
    times: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*.jsonl")):
        role, _, number = file.stem.partition("-")
        name = role if role == "server" else f"node process {number}"
        spans = _read(file)
        times.append({"process": name, "seconds": _seconds(spans)})
        process = {"ph": "M", "name": "process_name", "pid": int(number), "args": {"name": name}}
        events.append(process)
        events += [_event(span) for span in spans]
    atomic.write_text(folder / "times.json", json.dumps(times, indent=1))
    atomic.write_text(folder / "trace.json", json.dumps({"traceEvents": events}))


def _read(file: Path) -> list[Span]:
    """A process's spans; a line that was cut short when it was killed is passed over."""
    found = []
    for line in file.read_text().splitlines():
        with suppress(ValueError, TypeError):
            found.append(Span(**json.loads(line)))
    return found


def _seconds(spans: list[Span]) -> dict[str, float]:
    """Seconds of each kind in one process, its threads together."""
    sums: dict[str, float] = defaultdict(float)
    for thread in {span.thread for span in spans}:
        for kind, seconds in own_times([s for s in spans if s.thread == thread]).items():
            sums[kind] += seconds
    return dict(sorted(sums.items()))


def _event(span: Span) -> dict[str, Any]:
    """A complete event of the Trace Event Format; microseconds."""
    return {
        "ph": "X",
        "name": span.kind,
        "pid": span.process,
        "tid": span.thread,
        "ts": span.start * 1e6,
        "dur": span.seconds * 1e6,
    }
