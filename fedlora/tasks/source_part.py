"""A source chosen by name inside a family's config."""

from typing import ClassVar, cast

from fedlora.section import Part
from fedlora.tasks.contract import Source, Table


class SourcePart(Part):
    """name: a file of `tasks/sources/`; beside it, that source's own options."""

    room: ClassVar[str] = "tasks.sources"

    def load(self) -> Table:
        """Everything the source holds.

        Raises:
            FedloraError: its data is missing or malformed.
        """
        return cast(Source, self.build()).load()
