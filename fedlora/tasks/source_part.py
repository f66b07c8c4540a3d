"""A source chosen by name inside a family's config."""

from typing import ClassVar, cast

from fedlora.section import Part
from fedlora.tasks.contract import Source, Table


class SourcePart(Part):
    """name: a file of `tasks/sources/`; beside it, that source's own options."""

    room: ClassVar[str] = "tasks.sources"

    @property
    def title(self) -> str:
        """What messages call it: a path or an id where it has one, else its name."""
        options = self.model_extra or {}
        return str(options.get("path", options.get("id", self.name)))

    def load(self) -> Table:
        """Everything the source holds.

        Raises:
            FedloraError: its data is missing or malformed.
        """
        return cast(Source, self.build()).load()
