"""Write the tables of docs/RESULTS.md and README.md from results/*.json.

The prose of both pages is written by hand. A table stands between two comments and is replaced
whole; what it shows is said in the first:

    <!-- claims main -->                               the claims of results/main.json
    <!-- claims trust | counted=T1 -->                 but those of T1 in one line that counts them
    <!-- rows main: method, accuracy | table=task -->  these columns of its rows with table = task
    <!-- rows main: method, bytes | bytes -->     these columns of its rows that have bytes
    <!-- grid trust: attack + share, defence: lost, low, high | table=attack table, deal=tasks -->
                                              a line for each attack and share, a column for each
                                              defence; in it what is lost, and half its interval
    <!-- picture comm_vision: what it shows -->   results/comm_vision.svg, where there is one
    <!-- end -->

A bench that docs/RESULTS.md does not name yet gets a section at its end. With --check nothing is
written, and the exit status is 1 when a page and the files disagree.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.results import BenchResults, Claim, read_all

ROOT = Path(__file__).parent.parent
RESULTS_PAGE = ROOT / "docs" / "RESULTS.md"
PAGES = (RESULTS_PAGE, ROOT / "README.md")
BLOCK = re.compile(r"(<!-- (claims|rows|grid|picture) (.+?) -->\n).*?(<!-- end -->)", re.S)

PARTLY = " --only "
"""In the command of a bench of which only a part was measured."""

Benches = Mapping[str, BenchResults]
Cell = str | bool | int | float | None


def main(arguments: Sequence[str]) -> int:
    benches = {bench.bench: bench for bench in read_all(ROOT / "results")}
    stale = {page: text for page in PAGES if (text := current(page, benches)) != page.read_text()}
    for page, text in stale.items():
        if "--check" in arguments:
            print(f"{page.relative_to(ROOT)} disagrees with results/: run `make results`")
        else:
            atomic.write_text(page, text)
            print(f"wrote {page.relative_to(ROOT)}")
    return 1 if stale and "--check" in arguments else 0


def current(page: Path, benches: Benches) -> str:
    """The page with every table as the files have it now."""
    text = page.read_text(encoding="utf-8")
    if page == RESULTS_PAGE:
        for name in sorted(benches):
            if f"<!-- claims {name} " not in text:
                text += f"\n## {name}\n\n<!-- claims {name} -->\n<!-- end -->\n"
    return render(text, benches)


def render(text: str, benches: Benches) -> str:
    """Fill each block from its bench; the blocks of a bench without a file are emptied."""

    def fill(found: re.Match[str]) -> str:
        head, kind, what, end = found.groups()
        name, _, selection = what.partition(" | " if kind == "claims" else ":")
        if kind == "picture":
            return head + picture_block(name, selection.strip()) + end
        bench = benches.get(name)
        if bench is None:
            return head + end
        table = BLOCKS[kind](bench, selection)
        return f"{head}\n{table}\n\n{end}" if table else head + end

    return BLOCK.sub(fill, text)


def picture_block(name: str, says: str) -> str:
    """A drawing that a bench has left beside its results; nothing where there is none."""
    file = ROOT / "results" / f"{name}.svg"
    return f"\n![{says}](../results/{file.name})\n\n" if file.is_file() else ""


def claims_block(bench: BenchResults, selection: str = "") -> str:
    """How and where it was measured, and every claim, met or missed.

    selection: "counted=ID" has all claims of that ID in one line, where other tables show them.
    """
    machine = bench.machine
    origin = (
        f"`{bench.command}`, {bench.seconds:,.0f} s on {machine.cores} cores of {machine.cpu}"
        f" with {machine.memory / 2**30:.0f} GiB"
        f"{f' and {machine.gpu}' if machine.gpu else ', no GPU'};"
        f" seeds {', '.join(map(str, bench.seeds)) or 'none'}; {commits(bench)}."
    )
    counted = selection.partition("=")[2]
    lines = [
        [
            claim.id,
            claim.what,
            number(claim.value),
            "" if claim.low is None else f"{number(claim.low)} to {number(claim.high)}",
            claim.unit,
            target(claim),
            claim.reason or verdict(claim.met),
        ]
        for claim in bench.claims
        if claim.id != counted
    ]
    told = [claim for claim in bench.claims if claim.id == counted and claim.value is not None]
    if told:
        met = sum(bool(claim.met) for claim in told)
        what, wanted = "claims met, of those that the tables below can show", f"all {len(told)}"
        lines.insert(0, [counted, what, str(met), "", "", wanted, verdict(met == len(told))])
    head = ["claim", "what", "measured", "95% interval", "unit", "target", ""]
    return f"{origin}\n\n{table(head, lines)}"


def commits(bench: BenchResults) -> str:
    """The commit; where parts were measured at several, each with its parts."""
    by_commit: dict[str, list[str]] = {}
    for part in bench.parts:
        by_commit.setdefault(part.commit[:12], []).append(part.name)
    if len(by_commit) < 2:
        return f"commit `{bench.commit[:12]}`"
    told = (f"`{commit}` ({', '.join(parts)})" for commit, parts in by_commit.items())
    return f"commits {', '.join(told)}"


def verdict(met: bool | None) -> str:
    return "met" if met else "**missed**"


def rows_block(bench: BenchResults, selection: str) -> str:
    """The chosen columns of the rows that have every wanted value.

    Nothing where there are none and only a part of the bench was measured.

    Raises:
        FedloraError: no row has them.
    """
    columns, _, filters = selection.partition("|")
    heads = [column.strip() for column in columns.split(",")]
    rows = chosen(bench, heads, filters)
    if not rows:
        return ""
    return table(heads, [[cell(exact(row[head], rows, head)) for head in heads] for row in rows])


def grid_block(bench: BenchResults, selection: str) -> str:
    """One value of many cases: a line for each value of some columns, a column for each of another.

    Where three values are named they are a mean, and the lower and upper end of its interval, which
    is left out where it is not known. A cell without a row is empty, and so is one without a mean.

    Raises:
        FedloraError: no row has them, or two rows fall into one cell.
    """
    layout, _, filters = selection.partition("|")
    axes, _, values = layout.partition(":")
    down, across = (axis.strip() for axis in axes.split(","))
    keys, shown = [key.strip() for key in down.split("+")], [v.strip() for v in values.split(",")]
    rows = chosen(bench, [*keys, across, *shown], filters)
    if not rows:
        return ""
    columns = list(dict.fromkeys(cell(row[across]) for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        place = tuple(cell(row[key]) for key in keys), cell(row[across])
        line = lines.setdefault(place[0], {})
        if place[1] in line:
            raise FedloraError(
                f"results/{bench.bench}.json: two rows of {', '.join([*place[0], place[1]])};"
                " have the comment of the grid choose one"
            )
        line[place[1]] = spread([row[value] for value in shown])
    body = [[*case, *(line.get(column, "") for column in columns)] for case, line in lines.items()]
    return table([*keys, *columns], body)


def spread(values: Sequence[Cell]) -> str:
    """A mean, and how far its interval reaches where it has one; to one decimal."""
    known = [value for value in values if isinstance(value, float | int)]
    if not isinstance(values[0], float | int):
        return ""
    # Adding zero takes the sign from what is rounded to nought.
    mean = f"{round(float(values[0]), 1) + 0.0:.1f}"
    return mean if len(known) < 3 else f"{mean} ± {(known[2] - known[1]) / 2:.1f}"


def chosen(bench: BenchResults, heads: Sequence[str], filters: str) -> list[dict[str, Cell]]:
    """The rows that have every wanted value; none where only a part of the bench was measured.

    Raises:
        FedloraError: no row has the columns.
    """
    wanted = [pair.strip().partition("=") for pair in filters.split(",") if pair.strip()]
    rows = [
        row
        for row in bench.rows
        if all(cell(row.get(key)) == value if sign else key in row for key, sign, value in wanted)
    ]
    if not rows and PARTLY in bench.command:
        return []
    if not rows or any(head not in row for row in rows for head in heads):
        raise FedloraError(
            f"results/{bench.bench}.json: no rows with {', '.join(heads)}"
            f"{f' where {filters.strip()}' if filters else ''}; change the comment of the table"
        )
    return rows


BLOCKS: Mapping[str, Callable[[BenchResults, str], str]] = {
    "claims": claims_block,
    "rows": rows_block,
    "grid": grid_block,
}


def exact(value: Cell, rows: Sequence[Mapping[str, Cell]], head: str) -> Cell:
    """Zero for what is but rounding beside the column's largest value."""
    if not isinstance(value, float):
        return value
    largest = max(abs(float(row[head] or 0)) for row in rows if not isinstance(row[head], str))
    return 0.0 if abs(value) < 1e-13 * largest else value


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def target(claim: Claim) -> str:
    return f"{claim.wanted} {number(claim.target)}"


def cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


def number(value: float | None) -> str:
    """Three decimals, or four significant digits; whole numbers in full, by thousands."""
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 0.001 <= abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FedloraError as error:
        sys.exit(f"{error}")
