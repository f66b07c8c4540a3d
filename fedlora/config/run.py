"""RunConfig: everything a run depends on, in one validated tree."""

from typing import Any, Self

from pydantic import Field, model_validator

from fedlora.config.attackers import AttackersConfig
from fedlora.config.clients import (
    FinetuneConfig,
    GrowthConfig,
    ShardsConfig,
    TaskVectorConfig,
    WarmStartConfig,
)
from fedlora.config.clip_lora import in_words_of_a_run
from fedlora.config.continual import ContinualConfig
from fedlora.config.learning import LearningConfig
from fedlora.config.misfits import misfit_of_attackers, misfit_of_sections
from fedlora.config.model import BackboneConfig, LoraSection
from fedlora.config.newcomers import AdoptionConfig, EvaluationConfig
from fedlora.config.parts import CodecPart, GeneratorPart, TasksPart, default
from fedlora.config.privacy import PrivacyConfig
from fedlora.config.privacy_misfits import misfit_of_privacy
from fedlora.config.runtime import RETRIES_ABROAD, RoundsConfig, RuntimeConfig
from fedlora.config.screening import ScreeningConfig
from fedlora.config.stream_misfits import misfit_of_stream
from fedlora.errors import FedloraError
from fedlora.section import Section

CHECKS = (misfit_of_stream, misfit_of_sections, misfit_of_privacy, misfit_of_attackers)
"""Each says what does not fit together, or None."""


class RunConfig(Section):
    """One run: a section a room.

    `model` with `type: clip_lora`, and `lora` in the words of `fedlora.lora`, may stand for
    `backbone` and `lora`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=80)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    backbone: BackboneConfig
    lora: LoraSection = LoraSection()
    tasks: TasksPart
    shards: ShardsConfig = ShardsConfig()
    warm_start: WarmStartConfig = Field(default_factory=WarmStartConfig)
    growth: GrowthConfig = Field(default_factory=GrowthConfig)
    finetune: FinetuneConfig = FinetuneConfig()
    task_vector: TaskVectorConfig = TaskVectorConfig()
    generator: GeneratorPart = default(GeneratorPart, "kriging")
    adoption: AdoptionConfig = Field(default_factory=AdoptionConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    continual: ContinualConfig | None = Field(
        None, description="a stream of tasks, learned in order, in place of bank and newcomers"
    )
    attackers: AttackersConfig | None = Field(
        None, description="clients that attack, in a simulation; none when absent"
    )
    screening: ScreeningConfig = ScreeningConfig()
    learning: LearningConfig = LearningConfig()
    privacy: PrivacyConfig | None = Field(
        None,
        description="noise against what adapters tell of examples or clients; none when absent",
    )
    codec: CodecPart = default(CodecPart, "none")
    codec_up: CodecPart | None = Field(None, description="of answers; codec when absent")
    rounds: RoundsConfig = RoundsConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    def with_rank(self, rank: int) -> Self:
        """The same run with adapters of another rank."""
        return self.model_copy(update={"lora": self.lora.model_copy(update={"rank": rank})})

    @property
    def learned(self) -> tuple[str, ...]:
        """Methods that learn from the bank, or have learned on the way to it, by name."""
        baselines = tuple(part.name for part in self.evaluation.baselines)
        return (*baselines, "generated", *(("grown",) if self.growth.rounds else ()))

    @property
    def tried(self) -> tuple[str, ...]:
        """Methods of which the bank's own trial chooses who serves; none without a trial."""
        return (self.trial.methods or self.learned) if self.trial else ()

    @property
    def rivals(self) -> tuple[str, ...]:
        """Methods that a trial compares, beside a mix; none where there is nothing to choose."""
        several = len(self.tried) > 1 or (self.trial is not None and self.trial.mix is not None)
        return self.tried if several else ()

    @property
    def trial(self) -> Any:
        """The policy of `adoption_tried`, or None."""
        way = self.adoption_tried
        return way.policy.build() if way else None

    @property
    def adoption_tried(self) -> AdoptionConfig | None:
        """The first adoption of the run whose policy is `chosen`, or None; one trial serves all."""
        ways = (self.adoption, *self.evaluation.adoptions)
        return next((way for way in ways if way.policy.name == "chosen"), None)

    @property
    def retries(self) -> int:
        """How often a client whose machine is gone is asked again in a round."""
        if self.rounds.retries is not None:
            return self.rounds.retries
        return RETRIES_ABROAD if self.runtime.name == "deployment" else 0

    @model_validator(mode="before")
    @classmethod
    def _read_clip_lora(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "model" not in raw:
            return raw
        try:
            return in_words_of_a_run(raw)
        except FedloraError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _serve_without_trial(cls, raw: Any) -> Any:
        """Noise does not cover what a trial asks of clients: with privacy, the generator serves."""
        if not isinstance(raw, dict) or raw.get("privacy") is None:
            return raw
        adoption = raw.get("adoption", {})
        if not isinstance(adoption, dict) or "policy" in adoption:
            return raw
        return {**raw, "adoption": {**adoption, "policy": {"name": "given"}}}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for check in CHECKS:
            if misfit := check(self):
                raise ValueError(misfit)
        return self
