"""How a method's mark looks, the same wherever it is drawn."""

from typing import Any

from fedlora.report.methods import Method
from fedlora.report.palette import colour


def mark(method: Method, size: float) -> dict[str, Any]:
    """Keywords of `Axes.plot` for one mark of `size` units.

    Local training is a ring, drawn under the others: a generated adapter that reaches it fills it.
    """
    hue = colour(method.name)
    ring = method.name == "local"
    depth = {"local": 2.5, "generated": 4.0}.get(method.name, 3.0)
    return {
        "linestyle": "",
        "marker": method.marker,
        "markersize": size,
        "color": hue,
        "markerfacecolor": colour("paper") if ring else hue,
        "markeredgecolor": hue if ring else colour("paper"),
        "markeredgewidth": 1.5 if ring else 0.8,
        "zorder": depth,
    }
