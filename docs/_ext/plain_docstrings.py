"""Docstrings are written for people who read the code; this makes reStructuredText of them.

Bars and stars are mathematics, not markup. A paragraph of lines such as "down: (rank, d_in)", with
its continuation lines indented, becomes a list. What follows "Args:" is left to napoleon.
"""

import re
from typing import Any

from sphinx.application import Sphinx

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples):$")
ENTRY = re.compile(r"^([\w`]+(?:, [\w`]+)*): ")


def as_markup(lines: list[str]) -> list[str]:
    """The lines of one docstring, marked up."""
    escaped = [re.sub(r"([|*])", r"\\\1", line) for line in lines]
    cut = next((i for i, line in enumerate(escaped) if SECTION.match(line)), len(escaped))
    paragraphs = "\n".join(escaped[:cut]).split("\n\n")
    made = [line for text in paragraphs for line in [*paragraph(text.split("\n")), ""]]
    return [*made, *escaped[cut:]]


def paragraph(lines: list[str]) -> list[str]:
    """One paragraph: a list where its first line names something, else as it is, unindented."""
    joined: list[str] = []
    for line in lines:
        if line.startswith(" ") and joined:
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line.strip())
    if ENTRY.match(joined[0]):
        return [ENTRY.sub(r"* \1: ", line) if ENTRY.match(line) else f"  {line}" for line in joined]
    return joined


def process(*given: Any) -> None:
    """Sphinx gives app, kind, name, object, options, and the lines to change in place."""
    lines: list[str] = given[-1]
    lines[:] = as_markup(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
