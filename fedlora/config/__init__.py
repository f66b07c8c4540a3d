"""A run's configuration: one validated tree, a file a group of sections, a section a room."""

from fedlora.config.attackers import AttackersConfig, AttackPart
from fedlora.config.clients import (
    FinetuneConfig,
    GrowthConfig,
    ShardsConfig,
    TaskVectorConfig,
    TrainSection,
    WarmStartConfig,
)
from fedlora.config.clip_lora import (
    CLIP_TARGETS,
    ClipLora,
    ClipLoraSection,
    ClipModelSection,
    Component,
    LoRAFields,
)
from fedlora.config.continual import ContinualConfig, NoiseConfig
from fedlora.config.files import dump, from_dict, load, merged, naming, rooted, stamped
from fedlora.config.learning import LearningConfig
from fedlora.config.model import BackboneConfig, LoraSection
from fedlora.config.newcomers import AdoptionConfig, EvaluationConfig
from fedlora.config.parts import AggregatorPart, CodecPart, GeneratorPart, PolicyPart, TasksPart
from fedlora.config.privacy import PrivacyConfig
from fedlora.config.run import RunConfig
from fedlora.config.runtime import RoundsConfig, RuntimeConfig, Training
from fedlora.config.screening import ScreeningConfig

__all__ = [
    "CLIP_TARGETS",
    "AdoptionConfig",
    "AggregatorPart",
    "AttackPart",
    "AttackersConfig",
    "BackboneConfig",
    "ClipLora",
    "ClipLoraSection",
    "ClipModelSection",
    "CodecPart",
    "Component",
    "ContinualConfig",
    "EvaluationConfig",
    "FinetuneConfig",
    "GeneratorPart",
    "GrowthConfig",
    "LearningConfig",
    "LoRAFields",
    "LoraSection",
    "NoiseConfig",
    "PolicyPart",
    "PrivacyConfig",
    "RoundsConfig",
    "RunConfig",
    "RuntimeConfig",
    "ScreeningConfig",
    "ShardsConfig",
    "TaskVectorConfig",
    "TasksPart",
    "TrainSection",
    "Training",
    "WarmStartConfig",
    "dump",
    "from_dict",
    "load",
    "merged",
    "naming",
    "rooted",
    "stamped",
]
