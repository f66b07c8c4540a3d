"""Tables for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, title: str = "") -> None:
    """Print rows of equal keys as a table, or as a JSON list."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=1))
        return
    table = Table(title=title or None, title_justify="left")
    for key in rows[0] if rows else ():
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table if rows else ": ".join(filter(None, (title, "nothing yet"))))


def _cell(value: Any) -> Text:
    """Names are somebody else's: what a terminal would obey is shown, not done."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))
