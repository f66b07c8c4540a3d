"""Names of tasks: readable, and fit for folders and config keys."""

import re
from collections.abc import Sequence

from fedlora import registry
from fedlora.errors import FedloraError

OUTSIDE = re.compile(r"[^A-Za-z0-9=,+._-]+")


def task_name(text: str) -> str:
    """The text with everything but letters, digits and =,+._- turned into underscores."""
    return OUTSIDE.sub("_", text).strip("._") or "unnamed"


def unknown_task(family: str, name: str, known: Sequence[str]) -> FedloraError:
    """The error for a name that the family has not."""
    return FedloraError(f"{family}: no task '{name}'; {registry.nearest(name, list(known))}")
