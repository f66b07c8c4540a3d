"""One row a method: every unseen task as a tick, the mean and its 95% interval."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes

from fedlora.report.formats import measured
from fedlora.report.outcome import Line
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.plots.marks import mark
from fedlora.report.results import Interval

ROW = 25


def values(lines: Sequence[Line], metric: str, digits: int) -> Markup:
    """The metric itself."""
    spoken = "; ".join(f"{n.method.label} {measured(n.value, digits)}" for n in lines)

    def paint(ax: Axes) -> None:
        for row, line in enumerate(reversed(lines)):
            _row(ax, row, line, line.value, line.tasks, digits)
        _labels(ax, lines)
        ax.margins(x=0.04)
        if metric == "accuracy":
            # An interval over few tasks passes what an accuracy can be; the axis does not.
            low, high = ax.get_xlim()
            ax.set_xlim(max(low, 0.0), min(high, 1.0))

    return draw(paint, alt=f"{metric} by method: {spoken}", height=ROW * len(lines) + 30)


def gaps(lines: Sequence[Line]) -> Markup:
    """The share of the gap from base (0) to local training (1)."""
    spoken = "; ".join(f"{n.method.label} {measured(n.gap, 2)}" for n in lines)

    def paint(ax: Axes) -> None:
        for x in (0.0, 1.0):
            ax.axvline(x, color=colour("muted"), linewidth=1, zorder=1)
        for row, line in enumerate(reversed(lines)):
            _row(ax, row, line, line.gap, line.task_gaps, 2)
        _labels(ax, lines)
        ax.set_xlim(*limits(lines))

    alt = f"Share of the gap closed by method: {spoken}"
    return draw(paint, alt=alt, height=ROW * len(lines) + 30)


def limits(lines: Sequence[Line]) -> tuple[float, float]:
    """The gap axis: base, ceiling and every interval, and tasks no further than 1 beyond them.

    The share of a narrow gap can be any number; a few such tasks must not flatten the rest.
    """
    means = [x for n in lines for x in (n.gap.mean, n.gap.low, n.gap.high) if x is not None]
    tasks = [x for line in lines for x in line.task_gaps.values()]
    low, high = min([0.0, *means]), max([1.0, *means])
    low, high = max(low - 1, min([low, *tasks])), min(high + 1, max([high, *tasks]))
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def outside(lines: Sequence[Line]) -> int:
    """Ticks that the gap axis leaves out."""
    low, high = limits(lines)
    return sum(not low <= x <= high for line in lines for x in line.task_gaps.values())


def _row(
    ax: Axes, row: int, line: Line, mean: Interval, tasks: Mapping[str, float], digits: int
) -> None:
    hue = colour(line.method.name)
    ax.plot(
        list(tasks.values()),
        [row] * len(tasks),
        "|",
        color=hue,
        alpha=0.3,
        markersize=9,
        markeredgewidth=1.1,
    )
    if mean.mean is None:
        return
    name = tip(f"{line.method.label}: {measured(mean, digits)}")
    if mean.low is not None and mean.high is not None:
        ax.plot(
            [mean.low, mean.high],
            [row, row],
            color=hue,
            linewidth=2.6,
            solid_capstyle="round",
            gid=name,
        )
    ax.plot(mean.mean, row, gid=name, **mark(line.method, 8.5))


def _labels(ax: Axes, lines: Sequence[Line]) -> None:
    ax.set_yticks(range(len(lines)), [line.method.label for line in reversed(lines)])
    for text, line in zip(ax.get_yticklabels(), reversed(lines), strict=True):
        text.set_color(colour("ink"))
        text.set_fontweight("bold" if line.best else "normal")
    ax.set_ylim(-0.6, len(lines) - 0.4)
    ax.grid(visible=False, axis="y")
