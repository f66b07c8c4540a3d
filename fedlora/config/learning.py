"""What a generator's training does against clients that lie."""

from pydantic import Field

from fedlora.section import Section


class LearningConfig(Section):
    """Limits to what one client can do to all generators; none by default.

    Left out are the samples that generators which learned from other clients foretell worst.
    """

    trim: float = Field(0.0, ge=0, lt=0.5, description="share of the bank's samples left out")
    folds: int = Field(4, ge=2, description="parts that the clients are dealt to for that")
    cap: float | None = Field(
        None, gt=0, description="longest change from the start, in medians of all; none when absent"
    )
