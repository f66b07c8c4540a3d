"""What can be named in a configuration."""

import inspect

from fedlora import registry
from fedlora.cli.options import AsJson
from fedlora.cli.output import show


def tasks(json: AsJson = False) -> None:
    """List the task families and the sources they draw from."""
    rows = [*_parts("tasks", "family"), *_parts("tasks.sources", "source")]
    show(rows, json, "tasks.name and tasks.source.name")


def generators(json: AsJson = False) -> None:
    """List the generators, the baselines among them."""
    show(_parts("generators", "generator"), json, "generator.name")


def _parts(room: str, kind: str) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "kind": kind,
            "what": (inspect.getdoc(registry.find(room, name)) or "").partition("\n")[0],
            "options": ", ".join(registry.find(room, name).Config.model_fields),
        }
        for name in registry.names(room)
    ]
