"""What the clients of the bank do: their shards, their training, what they say of their task."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fedlora.config.parts import AggregatorPart, GeneratorPart, default
from fedlora.section import Section


class ShardsConfig(Section):
    """How one task's training data is dealt to several clients (flwr-datasets partitioners)."""

    per_task: int = Field(1, ge=1)
    partition: Literal["iid", "dirichlet", "pathological"] = "iid"
    alpha: float = Field(0.5, gt=0, description="Dirichlet concentration")
    classes_per_shard: int = Field(2, ge=1, description="for pathological partitions")
    min_examples: int = Field(8, ge=1, description="a shard with fewer is an error")


class TrainSection(Section):
    """One client's local training."""

    epochs: int = Field(8, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1, description="epochs without a better validation loss")


class WarmStartConfig(Section):
    """Federated rounds of the bank's clients before each goes its own way."""

    rounds: int = Field(10, ge=0)
    clients_per_round: int | None = Field(None, ge=1, description="all when absent")
    aggregation: AggregatorPart = default(AggregatorPart, "fedavg")
    weights: Literal["examples", "equal"] = Field(
        "examples", description="what a client counts in the average"
    )
    per_task: bool = Field(False, description="only clients of one task are averaged together")
    score: bool = Field(False, description="clients say each round how well they are served")
    train: TrainSection = TrainSection(epochs=1)


class GrowthConfig(Section):
    """Rounds in which every client trains on from what is generated for its own task.

    The default's noise is a hundred times that of a generator: single changes, which later rounds
    can mend, are averaged over many tasks.

    rank: of the sum of changes that the server keeps for each client, where adapters are combined.
    """

    rounds: int = Field(0, ge=0)
    generator: GeneratorPart = Field(
        default_factory=lambda: GeneratorPart.model_validate(
            {"name": "kriging", "noise": 10.0, "neighbours": None}
        ),
        description="one that combines adapters, or hypernetwork, which their changes teach",
    )
    rank: int = Field(32, ge=1)
    train: TrainSection = TrainSection(epochs=1)


class FinetuneConfig(TrainSection):
    """Each client's own fine-tuning from where the rounds left it, and the samples it sends."""

    init: Literal["shared", "independent"] = Field(
        "shared", description="the first adapter when warm_start.rounds is 0"
    )
    checkpoints: int = Field(1, ge=1, description="last epochs sent as samples")
    repeats: int = Field(1, ge=1, description="seeds a client trains with")


TaskFeature = Literal["pooled", "early", "moments", "gradient", "inputs", "prompts"]


class TaskVectorConfig(Section):
    """What a client says of its task, computed with the base model from its own samples.

    `prompts`, which stands alone, is the samples themselves as a sentence encoder sees them, one
    after another: what `hyperconv` deals into groups. Other generators see their mean.
    """

    samples: int = Field(32, ge=8, le=512)
    features: tuple[TaskFeature, ...] = ("pooled",)

    @model_validator(mode="after")
    def _prompts_stand_alone(self) -> Self:
        if "prompts" in self.features and len(self.features) > 1:
            raise ValueError("features: prompts stands alone; leave the others out")
        return self

    @property
    def prompts(self) -> int:
        """Encoded prompts in a vector; 1 where it describes the task as a whole."""
        return self.samples if "prompts" in self.features else 1
