"""The code blocks of a Markdown page."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block; `before` is the last line of text above it."""

    language: str
    code: str
    line: int
    before: str


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found[1],
            found[2],
            text.count("\n", 0, found.start()) + 1,
            text[: found.start()].rstrip().rpartition("\n")[2],
        )
        for found in FENCE.finditer(text)
        if found[1] == language
    ]
