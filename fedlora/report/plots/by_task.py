"""One row an unseen task: how far it is from base to local training, and who gets how far."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fedlora.report.evenly import evenly
from fedlora.report.formats import decimal, printable
from fedlora.report.methods import Method
from fedlora.report.outcome import Line
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.plots.marks import mark

ROW = 19
MOST = 40
"""Rows drawn; of more tasks, this many are taken evenly from the sorted list."""


def tasks(lines: Sequence[Line], metric: str, digits: int, *, higher_is_better: bool) -> Markup:
    """Tasks from the best to the worst generated adapter; `lines` in the order of the legend."""
    names = ordered(lines, higher_is_better=higher_is_better)
    shown = evenly(names, MOST)
    legend = -(-len(lines) // 3)

    def paint(ax: Axes) -> None:
        of = {line.method.name: line.tasks for line in lines}
        for row, task in enumerate(reversed(shown)):
            _gap(ax, row, of.get("base", {}).get(task), of.get("local", {}).get(task))
            for line in lines:
                _dot(ax, row, task, line, digits)
        ax.set_yticks(range(len(shown)), [printable(task, 26) for task in reversed(shown)])
        for text in ax.get_yticklabels():
            text.set_color(colour("ink"))
        ax.set_ylim(-0.7, len(shown) - 0.3)
        ax.grid(visible=False, axis="y")
        handles = [_handle(line.method) for line in lines]
        ax.figure.legend(handles=handles, loc="outside upper left", ncols=3)

    alt = f"{metric} of each method on {len(shown)} unseen tasks; see the table of tasks"
    return draw(paint, alt=alt, height=ROW * len(shown) + 34 + 15 * legend)


def ordered(lines: Sequence[Line], *, higher_is_better: bool) -> list[str]:
    """Every task, by the generated adapter's value, or by the first method's without one."""
    by = {line.method.name: line.tasks for line in lines}
    first: Mapping[str, float] = by.get("generated") or next(iter(by.values()), {})
    sign = -1.0 if higher_is_better else 1.0
    every = {task for line in lines for task in line.tasks}
    return sorted(every, key=lambda task: (task not in first, sign * first.get(task, 0.0), task))


def _gap(ax: Axes, row: int, base: float | None, local: float | None) -> None:
    if base is not None and local is not None:
        ax.plot(
            [base, local],
            [row, row],
            color=colour("line"),
            linewidth=5,
            zorder=1,
            solid_capstyle="butt",
        )


def _dot(ax: Axes, row: int, task: str, line: Line, digits: int) -> None:
    value = line.tasks.get(task)
    if value is None:
        return
    name = line.method.name
    ax.plot(
        value,
        row,
        gid=tip(f"{task} · {line.method.label}: {decimal(value, digits)}"),
        **mark(line.method, {"generated": 7.5, "local": 10}.get(name, 5.5)),
    )


def _handle(of: Method) -> Line2D:
    return Line2D([], [], label=of.label, **mark(of, 7))
