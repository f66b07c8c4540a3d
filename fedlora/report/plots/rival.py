"""The generated adapter against another method, a point a task."""

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlora.report.formats import decimal
from fedlora.report.outcome import Line
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.plots.marks import mark

HEIGHT = 340


def against(generated: Line, rival: Line, metric: str, digits: int) -> Markup:
    """Both axes in the metric; above the diagonal the generated adapter's is higher."""
    tasks = [task for task in generated.tasks if task in rival.tasks]
    every = [line.tasks[task] for line in (generated, rival) for task in tasks]
    margin = 0.06 * (max(every) - min(every)) or 0.05
    ends = (min(every) - margin, max(every) + margin)

    def paint(ax: Axes) -> None:
        ax.plot(ends, ends, color=colour("muted"), linewidth=1, dashes=(4, 3))
        for task in tasks:
            x, y = rival.tasks[task], generated.tasks[task]
            name = f"{task} · {decimal(y, digits)} against {decimal(x, digits)}"
            ax.plot(x, y, gid=tip(name), **mark(generated.method, 7))
        ax.set(xlim=ends, ylim=ends, aspect="equal")
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.set_xlabel(rival.method.label)
        ax.set_title("Generated", loc="left", fontsize=10.5, color=colour("muted"))

    higher = sum(generated.tasks[task] > rival.tasks[task] for task in tasks)
    alt = f"{metric}: generated is higher than {rival.method.label} on {higher} of {len(tasks)}"
    return draw(paint, alt=f"{alt} tasks", height=HEIGHT)
