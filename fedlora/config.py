"""RunConfig: everything a run depends on, in one validated tree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, model_validator
from yaml import YAMLError

from fedlora.errors import FedloraError
from fedlora.section import Part, Section, parse

Training = Literal["sequential", "batched", "auto"]

BASELINES = ("mean", "nearest", "topk", "ridge")


class TasksPart(Part):
    """A task family by name."""

    room: ClassVar[str] = "tasks"


class GeneratorPart(Part):
    """A generator by name."""

    room: ClassVar[str] = "generators"


class AggregatorPart(Part):
    """An aggregation method by name."""

    room: ClassVar[str] = "aggregation"


class PolicyPart(Part):
    """An adoption policy by name."""

    room: ClassVar[str] = "adoption"


class CodecPart(Part):
    """A codec by name."""

    room: ClassVar[str] = "wire.codecs"


def _part(kind: type[Part], name: str) -> Any:
    """A default part, looked up only when a configuration leaves it out."""
    return Field(default_factory=lambda: kind(name=name))


class BackboneConfig(Section):
    """The frozen base model: an embedded name, a local folder, or a hub id."""

    name: str
    dtype: Literal["float32", "bfloat16"] = "float32"
    max_length: int = Field(128, ge=8, description="tokens a text is cut to")
    prompts: tuple[str, ...] = Field(
        ("a photo of a {}.",), min_length=1, description="what a CLIP reads class names in"
    )


class LoraSection(Section):
    """What is trained. `targets: auto` takes the query and value projections."""

    rank: int = Field(4, ge=1)
    alpha: float = Field(8.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Literal["auto"] | tuple[str, ...] = "auto"
    layers: tuple[int, ...] | None = Field(None, description="blocks to adapt; all when absent")
    rslora: bool = False
    dora: bool = False
    head: bool = Field(False, description="train a classification head too, sent and counted")

    @model_validator(mode="after")
    def _refuse_dora(self) -> Self:
        if self.dora:
            raise ValueError("dora: not supported yet; set lora.dora=false")
        return self


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
    """Rounds of federated averaging over the bank's clients before each goes its own way."""

    rounds: int = Field(10, ge=0)
    clients_per_round: int | None = Field(None, ge=1, description="all when absent")
    aggregation: AggregatorPart = _part(AggregatorPart, "fedavg")
    train: TrainSection = TrainSection(epochs=1)


class FinetuneConfig(TrainSection):
    """Each client's own fine-tuning from the warm start, and the samples it sends."""

    init: Literal["shared", "independent"] = Field(
        "shared", description="the first adapter when warm_start.rounds is 0"
    )
    checkpoints: int = Field(1, ge=1, description="last epochs sent as samples")
    repeats: int = Field(1, ge=1, description="seeds a client trains with")


class TaskVectorConfig(Section):
    """What a client says of its task, computed with the base model from its own samples."""

    samples: int = Field(32, ge=8, le=128)
    features: tuple[Literal["pooled", "early", "moments"], ...] = ("pooled",)


class AdoptionConfig(Section):
    """What a newcomer is given, and what it makes of it with labels of its own."""

    policy: PolicyPart = _part(PolicyPart, "given")
    labels: int | None = Field(
        None, ge=1, description="labelled examples it chooses and refines with; all when absent"
    )
    refine: Literal["never", "gated", "always"] = Field(
        "never", description="gated: only where cross-validation on the labels says it helps"
    )
    refine_epochs: int = Field(10, ge=1)
    contribute: bool = Field(False, description="send the refined adapter to the bank")

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


class RoundsConfig(Section):
    """What the server asks of a round before it goes on."""

    min_answers: float = Field(0.5, gt=0, le=1, description="share of clients that must answer")
    timeout: float = Field(3600.0, gt=0, description="seconds to wait for a round")
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
    nodes: int = Field(2, ge=1, description="Ray nodes or SuperNodes that carry the clients")
    cpus_per_node: float = Field(1.0, gt=0)
    gpus_per_node: float = Field(0.0, ge=0)
    address: str | None = Field(None, description="an existing Ray cluster, or a SuperLink's name")

    @property
    def together(self) -> int:
        """Clients that a process is best asked at once."""
        return 1 if self.training == "sequential" else self.group


class RunConfig(Section):
    """One run: a section a room."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=80)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    backbone: BackboneConfig
    lora: LoraSection = LoraSection()
    tasks: TasksPart
    shards: ShardsConfig = ShardsConfig()
    warm_start: WarmStartConfig = Field(default_factory=WarmStartConfig)
    finetune: FinetuneConfig = FinetuneConfig()
    task_vector: TaskVectorConfig = TaskVectorConfig()
    generator: GeneratorPart = _part(GeneratorPart, "cvae")
    adoption: AdoptionConfig = AdoptionConfig()
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    codec: CodecPart = _part(CodecPart, "none")
    rounds: RoundsConfig = RoundsConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if misfit := _misfit(self):
            raise ValueError(misfit)
        return self


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
    for method in {m for adoption in adoptions for m in adoption.policy.build().methods}:
        if method == "warm" and not config.warm_start.rounds:
            return "adoption.policy: 'warm' needs warm_start.rounds of at least 1"
        if method not in ("generated", "warm", *baselines):
            return f"adoption.policy: '{method}' must stand in evaluation.baselines"
    return None


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file, merge `section.key=value` overrides over it, and validate the whole.

    Raises:
        FedloraError: one line that names the file, the key and the remedy.
    """
    return from_dict(_merged(path, overrides), origin=str(path))


def from_dict(raw: Any, origin: str) -> RunConfig:
    """Validate a configuration that was already read; `origin` is named in the error.

    Raises:
        FedloraError: as for `load`.
    """
    try:
        return parse(RunConfig, raw)
    except FedloraError as error:
        raise FedloraError(f"{origin}: {error}") from None


def dump(config: RunConfig) -> str:
    """The resolved configuration as YAML; `load` of it gives an equal one."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def _merged(path: Path, overrides: Sequence[str]) -> Any:
    for override in overrides:
        if "=" not in override:
            raise FedloraError(f"override '{override}': write it as section.key=value")
    try:
        base = OmegaConf.load(path)
        return OmegaConf.to_container(
            OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides))), resolve=True
        )
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file; see configs/ for examples") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FedloraError(f"{path}: cannot be read: {error}") from None
    except (YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        first_line = " ".join(str(error).split())[:200]
        raise FedloraError(f"{path}: not a YAML mapping of sections: {first_line}") from None
