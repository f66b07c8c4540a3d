"""A map of the bank: tasks that are alike lie together."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from fedlora.report.formats import printable
from fedlora.report.groups import Groups
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip

HEIGHT = 360


def places(
    where: Tensor, tasks: Sequence[str], newcomer: Sequence[bool], groups: Groups, alt: str
) -> Markup:
    """Positions (n, 2); newcomers are outlined diamonds, over the bank's dots."""

    def paint(ax: Axes) -> None:
        for (x, y), task, new, role in zip(
            where.tolist(), tasks, newcomer, groups.roles, strict=True
        ):
            ax.plot(x, y, gid=tip(f"{task}, newcomer" if new else task), **_mark(role, new))
        ax.set_aspect("equal", adjustable="datalim")
        ax.spines[:].set_visible(True)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.margins(0.08)
        handles = [
            Line2D([], [], label=printable(label, 16), **_mark(role, False))
            for label, role in groups.legend
        ]
        for label, new in (("bank", False), ("newcomer", True)):
            if new in newcomer:
                handles.append(Line2D([], [], label=label, **_mark("muted", new)))
        ax.figure.legend(handles=handles, loc="outside upper left", ncols=5)

    return draw(paint, alt=alt, height=HEIGHT)


def _mark(role: str, newcomer: bool) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": "D" if newcomer else "o",
        "markersize": 7.5 if newcomer else 6.5,
        "color": colour(role),
        "markeredgecolor": colour("ink" if newcomer else "paper"),
        "markeredgewidth": 1.4 if newcomer else 0.6,
        "zorder": 4 if newcomer else 3,
    }
