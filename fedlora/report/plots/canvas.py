"""From a function that paints axes to an SVG element for the page."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, cast
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlora.report.formats import legible, printable
from fedlora.report.palette import VARIABLE_OF, colour

WIDTH = 420
"""Units wide. Drawings scale with the page: at this size their text can be read on a phone."""

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_TIP = "tip:"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fedlora",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": colour("ink"),
    "axes.facecolor": "none",
    "axes.edgecolor": colour("line"),
    "axes.labelcolor": colour("muted"),
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": colour("line"),
    "grid.linewidth": 0.7,
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0,
    "legend.fontsize": 10,
}


def draw(paint: Callable[[Axes], None], *, alt: str, height: float) -> Markup:
    """An inline <svg> of WIDTH x height units; the same drawing gives the same bytes.

    Text stays text. Colours of the palette become CSS variables. `alt` says what a person who
    does not see the drawing should know.
    """
    with rc_context(cast(Any, _STYLE)), warnings.catch_warnings():
        # Names may be in any script; the browser has the glyphs that the measuring font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        figure.patch.set_visible(False)
        paint(figure.subplots())
        buffer = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    return Markup(_themed(legible(buffer.getvalue()), alt))


def tip(text: str) -> str:
    """The gid of an artist that shows `text` when the pointer rests on it."""
    return _TIP + printable(text)


def _themed(svg: str, alt: str) -> str:
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(svg)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", printable(alt))
    for parent in root.iter():
        for child in [c for c in parent if c.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata")]:
            parent.remove(child)
        _restyle(parent)
    return ET.tostring(root, encoding="unicode")


def _restyle(element: ET.Element) -> None:
    """Names become tooltips, colours variables; fonts come from the page."""
    if element.tag == f"{{{_SVG}}}g":
        name = element.attrib.pop("id", "")
        if name.startswith(_TIP):
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = name.removeprefix(_TIP)
            element.insert(0, title)
    if style := element.get("style"):
        style = re.sub(r"font-family: [^;]*;?\s*", "", style)
        style = re.sub(r"#[0-9a-f]{6}", lambda hit: VARIABLE_OF.get(hit[0], hit[0]), style)
        element.set("style", style)
    if element.tag == f"{{{_SVG}}}text" and "rotate(-0" in element.get("transform", ""):
        del element.attrib["transform"]
