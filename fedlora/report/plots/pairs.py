"""Two quantities of the same size on two axes, a point a task."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip

HEIGHT = 320


def pairs(found: Sequence[tuple[str, float, float]], x: str, y: str, alt: str) -> Markup:
    """Points (task, x, y) and the diagonal, from zero on.

    x, y: what the axes are called.
    """

    def paint(ax: Axes) -> None:
        top = 1.08 * max(max(a, b) for _, a, b in found) or 1.0
        ax.plot([0, top], [0, top], color=colour("muted"), linewidth=1, dashes=(4, 3))
        for task, a, b in found:
            ax.plot(
                a,
                b,
                "o",
                color=colour("generated"),
                alpha=0.8,
                markersize=6,
                markeredgecolor=colour("paper"),
                markeredgewidth=0.7,
                gid=tip(f"{task}: {a:.3g}, {b:.3g}"),
            )
        ax.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.set_xlabel(x)
        ax.set_title(y, loc="left", fontsize=10.5, color=colour("muted"))

    return draw(paint, alt=alt, height=HEIGHT)
