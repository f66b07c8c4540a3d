"""Generated against trained weights of the bank's own tasks."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.run_folder import Record
from fedlora.report.series import finite

HEIGHT = 320


def distances(records: Sequence[Record]) -> Markup | None:
    """Below the diagonal, a generated adapter is nearer to its task's than any other task's is."""
    found = _pairs(records, "nearest", "distance")
    if not found:
        return None
    below = sum(y < x for _, x, y in found)
    alt = f"The generated adapter is nearer than any other task's in {below} of {len(found)} tasks"
    return _scatter(
        found,
        "distance of the nearest other task's adapter",
        "distance of the generated adapter",
        alt,
    )


def norms(records: Sequence[Record]) -> Markup | None:
    """On the diagonal, a generated adapter is as strong as the trained one."""
    found = _pairs(records, "norm_trained", "norm_generated")
    if not found:
        return None
    shares = sorted(y / x for _, x, y in found if x > 0)
    middle = f"{shares[len(shares) // 2]:.2f}" if shares else "unknown"
    alt = f"Norm of generated adapters, as a share of the trained ones': median {middle}"
    return _scatter(found, "norm of the trained update", "norm of the generated update", alt)


def nearer(records: Sequence[Record]) -> tuple[int, int]:
    """Tasks whose generated adapter is nearer than any other task's, of how many."""
    found = _pairs(records, "nearest", "distance")
    return sum(y < x for _, x, y in found), len(found)


def _pairs(records: Sequence[Record], x: str, y: str) -> list[tuple[str, float, float]]:
    found = []
    for record in records:
        pair = finite(record.get(x)), finite(record.get(y))
        if pair[0] is not None and pair[1] is not None:
            found.append((str(record.get("task", "")), pair[0], pair[1]))
    return found


def _scatter(found: Sequence[tuple[str, float, float]], x: str, y: str, alt: str) -> Markup:
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
