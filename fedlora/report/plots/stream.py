"""A stream drawn: the matrix of accuracies, and curves over its steps."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip

Matrix = Sequence[Sequence[float | None]]
CELL = 26
LEGEND = 24
"""Characters of a name in a legend of three columns."""
_SHADES = ("scale_1", "scale_2", "scale_3", "scale_4", "scale_5")
_HUES = ("generated", "nearest", "topk", "ridge", "mean")


def heat_map(
    matrix: Matrix,
    columns: Sequence[str],
    rows: Sequence[str],
    title: str,
    bounds: tuple[float, float],
    unit: float = 100.0,
    side: str = "after step",
) -> Markup:
    """Each value in a shade, with its number: accuracies by step (row) and task (column), say.

    Args:
        matrix: None where there is no value.
        columns: what they are called.
        rows: likewise.
        title: what is spoken.
        bounds: values of the first and the last shade.
        unit: by which a value is multiplied to be written; 100 writes percent.
        side: what the rows are.
    """
    low, high = bounds
    reach = high - low or 1.0

    def paint(ax: Axes) -> None:
        for row, values in enumerate(matrix):
            for column, value in enumerate(values):
                if value is not None:
                    where = f"{side} {rows[row]}".strip()
                    name = f"{columns[column]}, {where}: {unit * value:.3g}"
                    _cell(ax, row, column, (value - low) / reach, f"{unit * value:.0f}", name)
        ax.set_xlim(-0.5, len(columns) - 0.5)
        ax.set_ylim(len(matrix) - 0.5, -0.5)
        ax.set_xticks(
            range(len(columns)), [_short(name, 9) for name in columns], rotation=35, ha="right"
        )
        ax.set_yticks(range(len(matrix)), [name[-26:] for name in rows])
        ax.set_ylabel(side)
        ax.grid(visible=False)

    last = ", ".join(
        f"{name} {unit * value:.0f}"
        for name, value in zip(columns, matrix[-1], strict=True)
        if value is not None
    )
    return draw(paint, alt=f"{title}; at the end {last}", height=CELL * len(matrix) + 80)


def curves(
    lines: Mapping[str, Sequence[float]], label: str, title: str, steps_of: str = "step"
) -> Markup:
    """Named values by step, counted from 1; `steps_of` says what kind of step."""

    def paint(ax: Axes) -> None:
        for hue, (name, values) in zip(_cycled(len(lines)), lines.items(), strict=True):
            steps = range(1, len(values) + 1)
            ax.plot(steps, values, color=colour(hue), marker="o", markersize=4, gid=tip(name),
                    linewidth=1.8, label=_short(name, LEGEND))  # fmt: skip
        ax.set_xlabel(steps_of, loc="right")
        ax.set_ylabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(visible=False, axis="x")
        if len(lines) > 1:
            ax.figure.legend(loc="outside upper left", ncols=3)

    spoken = "; ".join(f"{name} ends at {values[-1]:.3g}" for name, values in lines.items())
    return draw(paint, alt=f"{title}: {spoken}", height=230)


def _cell(ax: Axes, row: int, column: int, share: float, text: str, name: str) -> None:
    shade = _SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)]
    ax.barh(row, 0.94, height=0.94, left=column - 0.47, color=colour(shade), alpha=0.55,
            gid=tip(name))  # fmt: skip
    ax.text(column, row, text, ha="center", va="center", color=colour("ink"))


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _cycled(count: int) -> list[str]:
    return [_HUES[place % len(_HUES)] for place in range(count)]
