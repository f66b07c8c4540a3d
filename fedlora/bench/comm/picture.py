"""A family's curves in one drawing: what is reached, against the bytes that it took."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from fedlora.bench.comm.families import Family
from fedlora.bench.comm.tables import Everything, Row
from fedlora.report.formats import size
from fedlora.report.palette import PALETTE, colour, variable
from fedlora.report.plots.canvas import draw, tip

HEIGHT = 300
_HUES: Mapping[str, str] = {
    "codec": "topk",
    "mixed": "ridge",
    "one rank": "muted",
    "full": "nearest",
}


def pareto(family: Family, everything: Everything, front: Sequence[Row]) -> str:
    """A standalone SVG: every point of every name, and a line through those that nothing beats.

    front: their rows, by rising bytes.
    """
    sign = -1 if family.metric == "nll" else 1

    def paint(ax: Axes) -> None:
        for table, found in everything.items():
            hue = colour(_HUES[table])
            for name, lived in found.items():
                points = [p for p in lived.mean if p.rounds]
                x, y = [p.bytes for p in points], [sign * p.value for p in points]
                shown = tip(f"{table}: {name}")
                ax.plot(x, y, color=hue, linewidth=0.6, marker="o", markersize=3, gid=shown)
        best = [row for row in front if row["rounds"]]
        x, y = [1e6 * row["MB"] for row in best], [row["value"] for row in best]
        ax.plot(x, y, color=colour("ink"), linewidth=1.4, drawstyle="steps-post")
        for row in _turns(best):
            at = (1e6 * row["MB"], row["value"])
            ax.annotate(row["name"], at, (4, -9), textcoords="offset points", fontsize=7)
        for table in everything:
            ax.plot([], [], "o", color=colour(_HUES[table]), markersize=4, label=table)
        ax.figure.legend(loc="outside upper left", ncols=4)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: size(count)))
        ax.set_xlabel(f"bytes of all clients, both ways; up: {family.metric}")

    names = ", ".join(dict.fromkeys(row["name"] for row in front))
    alt = f"{family.name}: {family.metric} against bytes. Nothing beats {names}"
    return _alone(draw(paint, alt=alt, height=HEIGHT))


def _turns(best: Sequence[Row]) -> Iterator[Row]:
    """Where the line passes from one name to another."""
    before = None
    for row in best:
        if row["name"] != before:
            yield row
        before = row["name"]


def _alone(svg: str) -> str:
    """With the colours and the font that the page of a report gives its drawings."""
    ways = [
        ";".join(f"{variable(role)}:{pair[shade]}" for role, pair in PALETTE.items())
        for shade in (0, 1)
    ]
    style = (
        f"<style>svg{{{ways[0]};background:var(--paper);font-family:sans-serif}}"
        f"@media(prefers-color-scheme:dark){{svg{{{ways[1]}}}}}</style>"
    )
    head, _, rest = svg.partition(">")
    return f"{head}>{style}{rest}\n"
