"""Clients that attack, in simulations."""

from typing import ClassVar

from pydantic import Field

from fedlora.section import Part, Section


class AttackPart(Part):
    """An attack by name."""

    room: ClassVar[str] = "attacks"


class AttackersConfig(Section):
    """Some of the bank's clients attack, drawn by the run's seed; for simulations alone."""

    attack: AttackPart
    share: float = Field(
        0.2, gt=0, lt=1, description="of the bank's clients, rounded down, at least one"
    )
