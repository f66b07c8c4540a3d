"""A bench in parts: each is measured by itself, and keeps the commit of the code that did it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.bench.chosen import chosen
from fedlora.bench.kept import Kept
from fedlora.errors import FedloraError
from fedlora.results import (
    BenchResults,
    Claim,
    Part,
    is_known,
    read,
    this_commit,
    this_machine,
    write_results,
)

Row = dict[str, Any]
Found = tuple[list[Row], list[Claim]]
"""Rows and claims."""


@dataclass(frozen=True)
class Measured:
    """What a part came to."""

    part: Part
    rows: list[Row]
    claims: list[Claim]


def by_parts(
    out: Path,
    bench: str,
    names: Sequence[str],
    only: Sequence[str],
    measure: Callable[[str], Found],
    seeds: Sequence[int],
    kept: Kept[Any],
    options: str = "",
    together: Callable[[Mapping[str, list[Row]]], Found] | None = None,
) -> BenchResults:
    """Measure parts one after another, and write the file after each.

    What `out` holds of parts that are not measured now stays there, if it was measured with the
    same seeds on the same machine by code whose commit is known.

    Args:
        out: the results file.
        bench: its name, of `make bench-NAME` and `fedlora bench NAME`.
        names: of all parts, in the order of the file.
        only: parts to measure; all where there are none.
        measure: what a part comes to.
        seeds: of the bench.
        kept: what was measured before an interruption; let go of when the bench is complete.
        options: of the command, where they are not the usual ones.
        together: what the rows of all parts show, by part.

    Raises:
        FedloraError: there is no such part, what `out` holds is of no parts, or it cannot be
            written.
    """
    wanted = chosen(only, names)
    found = _before(out, seeds) if only else {}
    for name in wanted:
        began, earlier = time.perf_counter(), kept.earlier
        rows, claims = measure(name)
        seconds = round(time.perf_counter() - began + kept.earlier - earlier, 1)
        found[name] = Measured(Part(name=name, commit=this_commit(), seconds=seconds), rows, claims)
        here = [found[part] for part in names if part in found]
        results = _write(out, bench, here, len(here) == len(names), seeds, options, together)
    if not only and not options:
        kept.clear()
    return results


def _before(out: Path, seeds: Sequence[int]) -> dict[str, Measured]:
    if not out.is_file():
        return {}
    there = read(out)
    if not there.parts and there.claims:
        raise FedloraError(f"{out}: does not say which part is whose; name another file with --out")
    if there.seeds != tuple(seeds) or not there.machine.like(this_machine()):
        return {}
    return {
        part.name: Measured(
            part,
            [_apart(row) for row in there.rows if row.get("part") == part.name],
            [claim for claim in there.claims if claim.part == part.name],
        )
        for part in there.parts
        if is_known(part.commit)
    }


def _apart(row: Mapping[str, Any]) -> Row:
    return {key: value for key, value in row.items() if key != "part"}


def _write(
    out: Path,
    bench: str,
    here: Sequence[Measured],
    whole: bool,
    seeds: Sequence[int],
    options: str,
    together: Callable[[Mapping[str, list[Row]]], Found] | None,
) -> BenchResults:
    rows = [{"part": one.part.name, **row} for one in here for row in one.rows]
    claims = [
        claim.model_copy(update={"part": one.part.name}) for one in here for claim in one.claims
    ]
    if together is not None:
        more, shown = together({one.part.name: one.rows for one in here})
        rows, claims = [*rows, *more], [*claims, *shown]
    parts = [one.part for one in here]
    at_once = {part.commit for part in parts} == {this_commit()}
    words = [f"fedlora bench {bench}", *(f"--only {part.name}" for part in parts), options]
    command = " ".join(word for word in words if word)
    return write_results(
        out,
        bench,
        f"make bench-{bench}" if whole and at_once and not options else command,
        rows,
        sorted(claims, key=lambda claim: claim.id),
        seeds,
        sum(part.seconds for part in parts),
        parts,
    )
