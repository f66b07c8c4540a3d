"""The same numbers in the terminal and as JSON."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedlora.report.formats import decimal, digits, spread
from fedlora.report.methods import Needs
from fedlora.report.outcome import Line, lines
from fedlora.report.privacy import spent
from fedlora.report.run_folder import read
from fedlora.report.sentences import comparisons, headline
from fedlora.report.siege import attacked
from fedlora.report.stream import words


def table(run: Path) -> Table:
    """Mean, 95% interval and share of the gap of every method, the winners marked.

    Below it the comparisons, and what was spent of privacy budgets, and who attacked.

    Raises:
        FedloraError: the path is not a run folder, or its results cannot be read.
    """
    folder = read(run)
    if words.is_stream(folder):
        return words.table(folder)
    found = lines(folder)
    metric = folder.results.unit
    told = [*spent(folder), *attacked(folder)]
    said = [*comparisons(folder, found), *(f"{name}: {what}." for name, what in told)]
    out = Table(
        title=escape(str(headline(folder, found))),
        caption="\n".join(escape(sentence) for sentence in said),
        caption_justify="left",
        title_justify="left",
    )
    out.add_column("method")
    for column in (metric, "95% interval", "gap closed", "95% interval"):
        out.add_column(column, justify="right")
    out.add_column("")
    for needs in Needs:
        group = [line for line in found if line.method.needs == needs]
        for line in group:
            _add(out, line, digits(metric), last=line is group[-1])
    return out


def as_json(run: Path) -> dict[str, Any]:
    """The table as plain values: `lines` hold means and intervals, `best` marks the winners.

    Raises:
        FedloraError: as for `table`.
    """
    folder = read(run)
    if words.is_stream(folder):
        return words.as_json(folder)
    found = lines(folder)
    return {
        "run": str(folder.path),
        "finished": folder.results.finished,
        "metric": folder.results.metric,
        "headline": str(headline(folder, found)),
        "comparisons": comparisons(folder, found),
        "privacy": [each.model_dump() for each in folder.results.privacy],
        "attackers": [each.model_dump(mode="json") for each in folder.results.attackers],
        "lines": [
            {
                "method": line.method.name,
                "needs": line.method.needs.name.lower(),
                "value": line.value.model_dump(),
                "gap": line.gap.model_dump(),
                "best": line.best,
            }
            for line in found
        ],
    }


def _add(out: Table, line: Line, places: int, *, last: bool) -> None:
    out.add_row(
        escape(line.method.label),
        decimal(line.value.mean, places),
        spread(line.value, places),
        decimal(line.gap.mean, 2),
        spread(line.gap, 2),
        "best" if line.best else "",
        style="bold" if line.best else "",
        end_section=last,
    )
