"""Where the clients' time went."""

from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedlora.phases import PHASES
from fedlora.report.formats import duration, printable
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.run_folder import Record
from fedlora.report.series import finite

ROW = 30


def by_phase(metrics: Sequence[Record]) -> Markup | None:
    """The sum of `seconds` over the records of each phase, in the order of the story."""
    sums: dict[str, float] = defaultdict(float)
    for record in metrics:
        sums[str(record.get("phase", "run"))] += finite(record.get("seconds")) or 0.0
    order = {phase: place for place, phase in enumerate(PHASES)}
    found = sorted(
        ((name, spent) for name, spent in sums.items() if spent > 0),
        key=lambda pair: (order.get(pair[0], len(order)), pair[0]),
    )
    if not found:
        return None
    longest = max(spent for _, spent in found)

    def paint(ax: Axes) -> None:
        for row, (name, spent) in enumerate(reversed(found)):
            ax.barh(row, spent, height=0.5, color=colour("generated"), gid=tip(name))
            ax.text(spent + 0.012 * longest, row, duration(spent), va="center", size=9.5)
        ax.set_yticks(
            range(len(found)), [printable(n.replace("_", " "), 22) for n, _ in reversed(found)]
        )
        ax.set_xlim(0, 1.25 * longest)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: duration(x)))
        ax.grid(visible=False, axis="y")

    spoken = "; ".join(f"{name} {duration(spent)}" for name, spent in found)
    return draw(paint, alt=f"Seconds by phase. {spoken}", height=ROW * len(found) + 30)
