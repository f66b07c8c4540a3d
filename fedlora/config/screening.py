"""What an adapter must be like before it enters the bank."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from fedlora.section import Section


class ScreeningConfig(Section):
    """Each adapter beside the others of the round and of the bank; what stands out is set aside.

    A limit is in robust standard deviations (1.4826 times the median distance from the median).
    """

    enabled: bool = True
    rounds: bool = Field(
        True, description="norm, rank, ratio of factors, copies, direction in warm_start as well"
    )
    least: int = Field(8, ge=4, description="clients that a comparison needs; with fewer, none")
    size: float = Field(6.0, gt=0, description="limit for the norm of DeltaW's change, in log")
    spectrum: float = Field(8.0, gt=0, description="limit for the effective rank of DeltaW")
    balance: float = Field(
        8.0,
        gt=0,
        description="limit in rounds for the norm of `up` over that of `down`, and for theirs over"
        " that of DeltaW, in log",
    )
    agreement: float = Field(
        6.0, gt=0, description="limit for how little its change is like those of similar tasks"
    )
    direction: float = Field(
        0.5,
        ge=0,
        description="limit for how far its change goes against the others' in rounds, or those of"
        " similar tasks in the bank, in medians of how far they go together",
    )
    same_task: float = Field(
        6.0, gt=0, description="limit for the distance to other clients' of its task, in log"
    )
    most: int = Field(
        2000, ge=1, description="clients up to which changes are compared with similar tasks'"
    )
    neighbours: int = Field(5, ge=1, description="similar tasks that a change is compared with")
    peers: int = Field(
        0, ge=0, le=15, description="clients that try each adapter, three at least; none at 0"
    )
    vector: float = Field(
        8.0, gt=0, description="limit for how far its task vector lies from the others', in log"
    )
    vouched: float = Field(
        6.0, gt=0, description="limit for how much less than others' it is worth to its peers"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.enabled and self.peers:
            raise ValueError("enabled=false leaves peers without effect: leave one of them out")
        return self

    @property
    def of_rounds(self) -> bool:
        """Whether the answers of rounds are compared."""
        return self.enabled and self.rounds

    @field_validator("peers")
    @classmethod
    def _enough(cls, peers: int) -> int:
        if 0 < peers < 3:
            raise ValueError("of fewer than three peers one that lies decides: 0, or 3 and more")
        return peers
