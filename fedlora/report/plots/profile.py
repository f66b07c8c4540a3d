"""Where the time of each process of a run went, when the run was profiled."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedlora.report.formats import duration, printable
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.run_folder import Record
from fedlora.report.series import finite

ROW = 28
_SERVER, _NODES = "generated", "mean"


def by_kind(times: Sequence[Record]) -> Markup | None:
    """A bar a kind of work, the server's part first, then that of all node processes together.

    Args:
        times: of each process, its name and its seconds by kind.
    """
    server, nodes = _sums(times, server=True), _sums(times, server=False)
    kinds = sorted({**server, **nodes}, key=lambda k: server.get(k, 0.0) + nodes.get(k, 0.0))
    if not kinds:
        return None
    longest = max(server.get(kind, 0.0) + nodes.get(kind, 0.0) for kind in kinds)

    def paint(ax: Axes) -> None:
        for row, kind in enumerate(kinds):
            end = 0.0
            for sums, role, who in ((server, _SERVER, "server"), (nodes, _NODES, "nodes")):
                spent = sums.get(kind, 0.0)
                told = tip(f"{kind}, {who}: {duration(spent)}")
                ax.barh(row, spent, left=end, height=0.5, color=colour(role), gid=told)
                end += spent
            ax.text(end + 0.012 * longest, row, duration(end), va="center", size=9.5)
        ax.set_yticks(range(len(kinds)), [printable(kind, 22) for kind in kinds])
        ax.set_xlim(0, 1.25 * longest)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: duration(x)))
        ax.grid(visible=False, axis="y")
        if nodes:
            ends = [
                Patch(color=colour(_SERVER), label="server"),
                Patch(color=colour(_NODES), label="node processes"),
            ]
            ax.figure.legend(handles=ends, loc="outside upper left", ncols=2, handlelength=0.9)

    spoken = "; ".join(
        f"{kind} {duration(server.get(kind, 0.0) + nodes.get(kind, 0.0))}"
        for kind in reversed(kinds)
    )
    return draw(paint, alt=f"Seconds by kind of work. {spoken}", height=ROW * len(kinds) + 50)


def _sums(times: Sequence[Record], *, server: bool) -> dict[str, float]:
    sums: dict[str, float] = {}
    for record in times:
        spent = record.get("seconds")
        if (record.get("process") == "server") != server or not isinstance(spent, dict):
            continue
        for kind, seconds in spent.items():
            sums[str(kind)] = sums.get(str(kind), 0.0) + (finite(seconds) or 0.0)
    return sums
