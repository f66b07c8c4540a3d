"""RunConfig: everything a run depends on, in one validated tree."""

from typing import Any, Self

from pydantic import Field, model_validator

from fedlora.config.attackers import AttackersConfig
from fedlora.config.clients import (
    FinetuneConfig,
    GrowthConfig,
    ShardsConfig,
    TaskVectorConfig,
    TrainSection,
    WarmStartConfig,
)
from fedlora.config.clip_lora import in_words_of_a_run
from fedlora.config.continual import ContinualConfig
from fedlora.config.learning import LearningConfig
from fedlora.config.model import BackboneConfig, LoraSection
from fedlora.config.newcomers import AdoptionConfig, EvaluationConfig
from fedlora.config.parts import CodecPart, GeneratorPart, TasksPart, default
from fedlora.config.privacy import PrivacyConfig
from fedlora.config.runtime import RETRIES_ABROAD, RoundsConfig, RuntimeConfig
from fedlora.config.screening import ScreeningConfig
from fedlora.errors import FedloraError
from fedlora.section import Section


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
        if misfit := _misfit_of_stream(self) or _misfit(self) or _misfit_of_attackers(self):
            raise ValueError(misfit)
        return self


def _misfit_of_attackers(config: RunConfig) -> str | None:
    """What clients that attack cannot have around them."""
    if config.attackers is None:
        return None
    if config.runtime.name == "deployment":
        return "attackers: for simulations; set runtime.name to inprocess or ray, or leave it out"
    attack, method = config.attackers.attack, config.warm_start.aggregation
    if not attack.build().colludes:
        return None
    up = (config.codec_up or config.codec).build()
    if method.build().duty(1).remembers or config.codec.build().relative or up.feedback:
        return (
            f"attackers.attack: '{attack.name}' trains on other attackers' data as well, and"
            " needs rounds in which clients keep nothing; set warm_start.aggregation.name=fedavg"
            " and codec.name=none"
        )
    if len({*(config.lora.ranks or ())}) > 1:
        return f"attackers.attack: '{attack.name}' needs clients of one rank; leave lora.ranks out"
    return None


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


def _misfit_of_stream(config: RunConfig) -> str | None:
    """What a continual run cannot have beside its stream."""
    if config.continual is None:
        return None
    fields = RunConfig.model_fields
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


def _misfit(config: RunConfig) -> str | None:
    """Why sections that are each right by themselves do not fit together."""
    baselines = [part.name for part in config.evaluation.baselines]
    adoptions = [config.adoption, *config.evaluation.adoptions]
    titles = [adoption.title for adoption in adoptions]
    if len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        return "seeds: each must be different, and none negative"
    if len(set(baselines)) < len(baselines):
        return "evaluation.baselines: each may stand once"
    if config.adoption.contribute and config.adoption.refine == "never":
        return "adoption.contribute: there is nothing to give back; set adoption.refine=always"
    if any(adoption.contribute for adoption in config.evaluation.adoptions):
        return "evaluation.adoptions: what is only tried gives nothing back; leave contribute out"
    if len(set(titles)) < len(titles):
        return "evaluation.adoptions: each, and adoption itself, must be different"
    draws = any(adoption.policy.build().needs_draws for adoption in adoptions)
    if draws and not getattr(config.generator.options(), "spread", 0.0):
        return "generator.spread: best_of needs draws that differ; set it above 0, with cvae"
    if config.growth.rounds and not config.warm_start.rounds:
        return "growth.rounds: the first adapter to grow from needs warm_start.rounds of at least 1"
    if unknown := sorted({*config.tried} - {*config.learned}):
        return _unlearned(config, "adoption.policy.among", unknown[0])
    named = {m for adoption in adoptions for m in adoption.policy.build().methods}
    return _missing_method(config, named) or _misfit_of_rounds(config) or _misfit_of_privacy(config)


def _misfit_of_privacy(config: RunConfig) -> str | None:
    """What would tell of examples past the noise."""
    privacy = config.privacy
    if privacy and privacy.task_vector and config.task_vector.features != ("pooled",):
        return (
            "privacy.task_vector: covers pooled features alone; set task_vector.features=[pooled]"
        )
    if privacy and privacy.clients and (misfit := _misfit_of_client_privacy(config)):
        return misfit
    if privacy and config.tried:
        return "adoption.policy: what clients say of methods is not covered by privacy; name one"
    if privacy and config.screening.peers:
        return "screening.peers: what peers say of adapters is not covered by privacy; set it to 0"
    if not privacy or not privacy.examples:
        return None
    if config.finetune.patience or config.warm_start.train.patience or config.growth.train.patience:
        return "privacy.examples: does not cover when training stops early; leave patience out"
    if config.warm_start.score or config.adoption.contribute:
        return "privacy.examples: does not cover warm_start.score nor adoption.contribute"
    duties = [config.warm_start.aggregation.build().duty(turn) for turn in (1, 2)]
    # Only `up` moves with noise, so that every round has to train and to send it.
    moves = all("up" in duty.trains and "up" in duty.sends for duty in duties)
    if not moves or any(d.controls or d.prunes or d.pull or d.folds for d in duties):
        name = config.warm_start.aggregation.name
        return f"warm_start.aggregation: privacy.examples has no proof for '{name}'; choose fedavg"
    return None


def _misfit_of_client_privacy(config: RunConfig) -> str | None:
    """What would tell of a client past the noise on the rounds."""
    rounds, method = config.warm_start, config.warm_start.aggregation.build()
    if not rounds.rounds:
        return "privacy.clients: there is nothing to protect; set warm_start.rounds of at least 1"
    if any(method.duty(turn).trains != ("up",) for turn in (1, 2)):
        return (
            f"warm_start.aggregation: '{rounds.aggregation.name}' trains down, and noise on both"
            " factors would be multiplied; with privacy.clients choose ffa"
        )
    if rounds.weights != "equal":
        return "privacy.clients: counts every client alike; set warm_start.weights=equal"
    if config.screening.of_rounds:
        return (
            "privacy.clients: what screening keeps out tells of clients; set screening.rounds=false"
        )
    if config.growth.rounds:
        return "privacy.clients: does not cover growth; set growth.rounds=0"
    return None


def _missing_method(config: RunConfig, named: set[str]) -> str | None:
    """What a policy serves with that the run does not learn."""
    rounds = {"warm": "warm_start", "grown": "growth"}
    for method in sorted(named - set(config.learned)):
        section = rounds.get(method)
        if section is None:
            return _unlearned(config, "adoption.policy", method)
        if not getattr(config, section).rounds:
            return f"adoption.policy: '{method}' needs {section}.rounds of at least 1"
    return None


def _unlearned(config: RunConfig, key: str, method: str) -> str:
    return (
        f"{key}: '{method}' is nothing that this run learns; choose of"
        f" {', '.join(config.learned)}, or add it to evaluation.baselines"
    )


def _misfit_of_rounds(config: RunConfig) -> str | None:
    """Why the method of the rounds does not go with ranks or codecs."""
    if not config.warm_start.rounds:
        return None
    name, method = config.warm_start.aggregation.name, config.warm_start.aggregation.build()
    ranks = set(config.lora.ranks or ())
    if len(ranks) > 1 and config.growth.rounds:
        return "lora.ranks: growth trains adapters of one rank; leave one of them out"
    if len(ranks) > 1 and not method.mixed_ranks:
        return (
            f"warm_start.aggregation: '{name}' needs clients of one rank;"
            " choose flexlora, flora, hetlora or product, or leave lora.ranks out"
        )
    up = (config.codec_up or config.codec).build()
    if up.feedback and method.new_factors:
        return (
            f"{'codec_up' if config.codec_up else 'codec'}: with '{name}' factors are new in each"
            " round, and what was left out of the last ones cannot be added; set feedback=false"
        )
    if method.duty(1).controls and "product" in (config.codec.build().measure, up.measure):
        return f"codec: control variates of '{name}' have no product; leave lowrank out"
    if up.relative and method.duty(1).gets_late and config.codec.name != "none":
        return f"codec_up: with '{name}' differences need codec.name=none"
    if config.codec.build().relative and (len(ranks) > 1 or not method.broadcasts):
        return (
            "codec: differences need one whole adapter for all clients;"
            f" with '{name}' and these ranks set codec.name=none and codec_up"
        )
    return None
