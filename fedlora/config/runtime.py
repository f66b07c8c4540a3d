"""Where a run happens, and what its server asks of a round."""

from typing import Literal

from pydantic import Field

from fedlora.section import Section

Training = Literal["sequential", "batched", "auto"]


RETRIES_ABROAD = 4
"""Of clients on other machines: over a minute, in which Flower forgets a SuperNode that is gone."""


class RoundsConfig(Section):
    """What the server asks of a round before it goes on."""

    min_answers: float = Field(0.5, gt=0, le=1, description="share of clients that must answer")
    timeout: float = Field(3600.0, gt=0, description="seconds to wait for a round")
    retries: int | None = Field(
        None, ge=0, le=10,
        description="times that a client is asked again whose machine is gone, after 5, 10, 20, ..."
        " seconds; null: 4 in a deployment, 0 elsewhere",
    )  # fmt: skip
    max_norm: float = Field(1e4, gt=0, description="largest accepted ||DeltaW|| of an adapter")


class RuntimeConfig(Section):
    """Where it runs."""

    name: Literal["inprocess", "ray", "deployment"] = "inprocess"
    device: str = "auto"
    threads: int = Field(1, ge=1, description="torch threads of each client process")
    training: Training = Field(
        "sequential", description="one client after another, several at once, or what is faster"
    )
    group: int = Field(16, ge=1, description="clients trained at once at most")
    activation_cache: int = Field(
        256, ge=0, description="MiB a process keeps of states below the lowest adapter"
    )
    activation_disk: int = Field(
        0, ge=0, description="MiB more that a process keeps of them on disk"
    )
    nodes: int = Field(2, ge=1, description="Ray nodes or SuperNodes that carry the clients")
    cpus_per_node: float = Field(1.0, gt=0)
    gpus_per_node: float = Field(0.0, ge=0)
    address: str | None = Field(None, description="an existing Ray cluster, or a SuperLink's name")

    @property
    def together(self) -> int:
        """Clients that a process is best asked at once."""
        return 1 if self.training == "sequential" else self.group
