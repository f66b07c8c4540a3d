"""Parts that a configuration names: one class a room."""

from typing import Any, ClassVar

from pydantic import Field

from fedlora.section import Part


class TasksPart(Part):
    """A task family by name."""

    room: ClassVar[str] = "tasks"


class GeneratorPart(Part):
    """A generator by name."""

    room: ClassVar[str] = "generators"


class AggregatorPart(Part):
    """An aggregation method by name."""

    room: ClassVar[str] = "aggregation"


class PolicyPart(Part):
    """An adoption policy by name."""

    room: ClassVar[str] = "adoption"


class CodecPart(Part):
    """A codec by name."""

    room: ClassVar[str] = "wire.codecs"


def default(kind: type[Part], name: str) -> Any:
    """A default part, looked up only when a configuration leaves it out."""
    return Field(default_factory=lambda: kind(name=name))
