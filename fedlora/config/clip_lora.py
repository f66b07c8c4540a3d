"""`model.type: clip_lora`: a CLIP and its adapter in the words of `fedlora.lora`."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from fedlora.config.model import Listed, Template
from fedlora.errors import FedloraError
from fedlora.section import Section, parse

CLIP_TARGETS = ("q_proj", "k_proj", "v_proj", "fc1", "fc2")

OWN_KEYS = {
    "backbone.name": "model.model_name",
    "backbone.num_classes": "model.num_classes",
    "backbone.prompts": "model.templates",
    "lora.rank": "lora.r",
    "lora.alpha": "lora.lora_alpha",
    "lora.dropout": "lora.lora_dropout",
    "lora.targets": "lora.target_modules",
    "lora.head": "model.trainable_head",
}
"""What a run's keys are called here."""

Component = Literal["encoder", "text_encoder", "classifier", "projection"]


class LoRAFields(Section):
    """The settings of an adapter, as a section of YAML has them."""

    r: int = Field(16, ge=1)
    lora_alpha: float = Field(32, gt=0, allow_inf_nan=False)
    lora_dropout: float = Field(0.1, ge=0, lt=1)
    target_modules: Literal["auto"] | tuple[str, ...] = "auto"
    bias: Literal["none", "all", "lora_only"] = "none"
    save_only_trainable: bool = True

    @field_validator("target_modules", mode="before")
    @classmethod
    def _take_names(cls, given: Any) -> Any:
        if isinstance(given, str) and given != "auto":
            raise ValueError(f"write [{given}], a list of names, or auto")
        names = given if isinstance(given, list | tuple) else (given,)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"write a list of names, or auto, not {given!r}")
        return given


class ClipModelSection(Section):
    """Which CLIP, for which classes."""

    type: Literal["clip_lora"]
    model_name: str
    num_classes: int = Field(ge=2)
    class_names: Listed[str] | None = Field(
        None, description="of the head; a run's tasks bring their own"
    )
    templates: Listed[Template] = Field(
        ("a photo of a {}.",), min_length=1, description="prompts for class names, averaged"
    )
    trainable_head: bool | None = Field(None, description="when absent, only without class names")


class ClipLoraSection(LoRAFields):
    """The adapter, and whether there is one."""

    enabled: bool = True
    target_components: Listed[Component] = Field(("encoder",), min_length=1)


class ClipLora(Section):
    """Both sections."""

    model: ClipModelSection
    lora: ClipLoraSection = ClipLoraSection()


def in_words_of_a_run(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A run's mapping with `model` and its `lora` as the sections `backbone` and `lora` of a run.

    Raises:
        FedloraError: a key is wrong, or says what a run does not do.
    """
    own = ("model", "lora")
    given = parse(ClipLora, {name: raw[name] for name in own if name in raw})
    if "backbone" in raw:
        raise FedloraError("model: it names the base model, as backbone does; leave one out")
    model, lora = given.model, given.lora
    if problem := _beyond_a_run(model, lora):
        raise FedloraError(f"{problem}, or use the model in a script through create_model")
    targets = CLIP_TARGETS if lora.target_modules == "auto" else lora.target_modules
    projection = ("visual_projection",) if "projection" in lora.target_components else ()
    return {name: section for name, section in raw.items() if name not in own} | {
        "backbone": {
            "name": model.model_name,
            "num_classes": model.num_classes,
            "prompts": model.templates,
        },
        "lora": {
            "rank": lora.r,
            "alpha": lora.lora_alpha,
            "dropout": lora.lora_dropout,
            "targets": (*targets, *projection),
            "head": bool(model.trainable_head),
        },
    }


def with_own_keys(complaint: str) -> str:
    """A run's complaint about one of its keys, with the names that the user gave them."""
    keys = "|".join(map(re.escape, OWN_KEYS))
    return re.sub(rf"\b({keys})\b", lambda found: OWN_KEYS[found[0]], complaint)


def _beyond_a_run(model: ClipModelSection, lora: ClipLoraSection) -> str | None:
    """What a run cannot do with such a model: its clients share adapters of the vision tower."""
    if model.class_names is not None:
        return "model.class_names: tasks bring their own; leave it out"
    if not lora.enabled:
        return "lora.enabled: a run trains adapters; set it to true"
    if not {"encoder"} <= set(lora.target_components) <= {"encoder", "projection"}:
        return "lora.target_components: a run adapts [encoder] or [encoder, projection]"
    if lora.bias != "none":
        return "lora.bias: a run shares factors alone; set it to none"
    if not lora.save_only_trainable:
        return "lora.save_only_trainable: a run shares adapters alone; set it to true"
    return None
