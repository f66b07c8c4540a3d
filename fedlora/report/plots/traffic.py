"""Bytes: what they were sent for, and what two other ways would have cost."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from fedlora.report.formats import printable, size, times
from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.traffic import Purpose

ROW = 34
_ASK, _ANSWER = "mean", "generated"
"""Colours of what the server sends down and of what the clients send up."""


def purposes(found: Sequence[Purpose]) -> Markup:
    """Two bars a purpose, on a scale that starts at zero."""

    def paint(ax: Axes) -> None:
        longest = max(max(p.up, p.down) for p in found)
        for row, purpose in enumerate(reversed(found)):
            _bar(ax, row + 0.19, purpose.down, longest, colour(_ASK), f"{purpose.name}: down")
            _bar(ax, row - 0.19, purpose.up, longest, colour(_ANSWER), f"{purpose.name}: up")
        _rows(ax, [printable(p.name.replace("_", " "), 22) for p in reversed(found)])
        ends = [
            Patch(color=colour(_ASK), label="to clients"),
            Patch(color=colour(_ANSWER), label="to the server"),
        ]
        ax.figure.legend(handles=ends, loc="outside upper left", ncols=2, handlelength=0.9)
        ax.set_xlim(0, longest * 1.2)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: size(x) if x else "0"))

    spoken = "; ".join(f"{p.name}: {size(p.up)} up, {size(p.down)} down" for p in found)
    return draw(paint, alt=f"Bytes by purpose. {spoken}", height=ROW * len(found) + 50)


def comparison(totals: Sequence[tuple[str, int]]) -> Markup:
    """The run, first, beside the other ways: a logarithmic scale, so points and no bars."""
    own = totals[0][1]

    def paint(ax: Axes) -> None:
        for row, (name, total) in enumerate(reversed(totals)):
            first = row == len(totals) - 1
            hue = colour("generated" if first else "muted")
            ax.plot(total, row, "o", color=hue, markersize=9, gid=tip(f"{name}: {size(total)}"))
            _label(ax, total, row, size(total), 0 if first else 5, colour("ink"))
            if not first and own:
                _label(ax, total, row, f"{times(total / own)} times as much", -6, colour("muted"))
        _rows(ax, [name for name, _ in reversed(totals)])
        ax.set_xscale("log")
        low, high = min(t for _, t in totals), max(t for _, t in totals)
        ax.set_xlim(low / 3, high * max(12.0, (high / low) ** 0.7))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _power(x)))

    spoken = "; ".join(f"{name} {size(total)}" for name, total in totals)
    return draw(
        paint,
        alt=f"Bytes of the whole run beside other ways. {spoken}",
        height=ROW * len(totals) + 30,
    )


def _bar(ax: Axes, y: float, length: int, longest: int, hue: str, what: str) -> None:
    ax.barh(y, length, height=0.34, color=hue, gid=tip(f"{what} {size(length)}"))
    ax.text(length + 0.012 * longest, y, size(length), va="center", size=9, color=colour("muted"))


def _label(ax: Axes, x: float, y: float, text: str, above: float, hue: str) -> None:
    """Text to the right of a point, some units above its middle."""
    ax.annotate(text, (x, y), (9, above), va="center", textcoords="offset points", color=hue)


def _rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    for text in ax.get_yticklabels():
        text.set_color(colour("ink"))
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(visible=False, axis="y")


def _power(count: float) -> str:
    """1 kB, 10 kB, 1 MB: ticks are powers of ten, so no decimals."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.0f} {unit}"
    return f"{count:g} B"
