"""What a newcomer is given, and what it is compared with."""

from typing import Any, Literal

from pydantic import Field, model_validator

from fedlora.config.parts import GeneratorPart, PolicyPart, default
from fedlora.section import Section

BASELINES = ("mean", "nearest", "topk", "ridge")


class AdoptionConfig(Section):
    """What a newcomer is given, and what it makes of it with labels of its own.

    Where `labels` says how many it has, and no policy is named, a mix by them is tried on the bank
    beside the methods, and what serves is refined with them where that helps.
    """

    policy: PolicyPart = default(PolicyPart, "chosen")
    labels: int | None = Field(
        None, ge=1, description="labelled examples it chooses and refines with; all when absent"
    )
    refine: Literal["never", "gated", "always"] = Field(
        "never", description="gated: only where cross-validation on the labels says it helps"
    )
    refine_epochs: int = Field(10, ge=1)
    contribute: bool = Field(False, description="send the refined adapter to the bank")

    @model_validator(mode="before")
    @classmethod
    def _use_labels(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("labels") is None or "policy" in raw:
            return raw
        return {"policy": {"name": "chosen", "mix": True}, "refine": "gated", **raw}

    @property
    def title(self) -> str:
        """What the table calls it."""
        suffix = {"never": "", "gated": "_gated", "always": "_refined"}[self.refine]
        return f"{self.policy.build().title}{suffix}"

    @property
    def plain(self) -> bool:
        """One method's adapter as it comes: a row that the table has anyway."""
        return self.refine == "never" and self.policy.name == "given"


class EvaluationConfig(Section):
    """The table: which controls stand beside the generated adapter."""

    baselines: tuple[GeneratorPart, ...] = Field(
        default_factory=lambda: tuple(GeneratorPart(name=name) for name in BASELINES)
    )
    few_labels: int = Field(32, ge=1)
    adoptions: tuple[AdoptionConfig, ...] = Field(
        (), description="further ways to adopt, each tried by every newcomer: a row each"
    )
    one_epoch: bool = Field(True, description="one local epoch from generated and from zero")
