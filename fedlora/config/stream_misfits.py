"""What a continual run cannot have beside its stream."""

from typing import TYPE_CHECKING

from fedlora.config.clients import FinetuneConfig, TrainSection
from fedlora.config.continual import ContinualConfig

if TYPE_CHECKING:
    from fedlora.config.run import RunConfig

IDLE_IN_STREAMS = (
    "warm_start",
    "task_vector",
    "generator",
    "adoption",
    "evaluation",
    "attackers",
    "growth",
    "screening",
    "learning",
    "codec_up",
    "privacy",
)
"""Sections that a continual run has no use for."""


def _uncovered(continual: ContinualConfig) -> str:
    """What clients of a stream send that noise on their statistics does not cover, if anything."""
    if continual.generator is not None:
        return "the mean features that a generator needs"
    return "what class alignment sends" if continual.method.options().align is not None else ""


def misfit_of_stream(config: "RunConfig") -> str | None:
    """What a continual run cannot have beside its stream."""
    if config.continual is None:
        return None
    fields = type(config).model_fields
    for name in IDLE_IN_STREAMS:
        if getattr(config, name) != fields[name].get_default(call_default_factory=True):
            return f"{name}: has no meaning in a continual run; leave it out"
    if config.finetune != FinetuneConfig(**config.finetune.model_dump(include=_TRAINING)):
        return "finetune: a continual run takes its training settings alone"
    if config.runtime.training == "batched":
        return "runtime.training: clients of a stream train one by one; leave it out"
    if config.lora.ranks is not None:
        return "lora.ranks: the branches of a stream have one rank; set lora.rank alone"
    codec = config.codec.build()
    if codec.measure != "value" or codec.relative or codec.feedback:
        return (
            f"codec: {config.codec.name} changes the directions that a stream's branches must keep;"
            " choose none, fp16, bf16, int8, int4 or nf4"
        )
    if config.continual.noise is not None and (what := _uncovered(config.continual)):
        return f"continual.noise: it does not cover {what}; leave one out"
    if config.continual.generator is not None and config.continual.method.build().trains != "up":
        name = config.continual.method.name
        return (
            f"continual.generator: starts branches whose down is fixed, which those of {name} are"
            " not; choose inflora, inflora_ca or a control of theirs"
        )
    return None


_TRAINING = set(TrainSection.model_fields) - {"patience"}
