"""A model from YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from fedlora.errors import FedloraError
from fedlora.lora.clip_model import FederatedCLIPModel
from fedlora.lora.clip_wrapper import CLIPLoRAWrapper, Component
from fedlora.lora.config import LoRAConfig, LoRAFields
from fedlora.section import Section, parse


class ModelSection(Section):
    """Which CLIP, for which classes."""

    type: Literal["clip_lora"]
    model_name: str
    num_classes: int = Field(ge=2)
    class_names: tuple[str, ...] | None = None
    trainable_head: bool | None = None


class AdapterSection(LoRAFields):
    """The adapter, and whether there is one."""

    enabled: bool = True
    target_components: tuple[Component, ...] = ("encoder",)


class ClipLoraYaml(Section):
    """The whole file."""

    model: ModelSection
    lora: AdapterSection = AdapterSection()


def create_model(
    config: str | Path | Mapping[str, Any],
) -> CLIPLoRAWrapper | FederatedCLIPModel:
    """The model that a YAML file, or a mapping read from one, describes.

    The adapter is applied; with `lora.enabled: false` the plain model is returned.

    Raises:
        FedloraError: one line with the file, the key and the remedy.
    """
    origin = "config" if isinstance(config, Mapping) else str(config)
    raw = config if isinstance(config, Mapping) else _read(Path(config))
    try:
        described = parse(ClipLoraYaml, raw)
        return _build(described)
    except FedloraError as error:
        raise FedloraError(f"{origin}: {error}") from None


def _build(described: ClipLoraYaml) -> CLIPLoRAWrapper | FederatedCLIPModel:
    own, lora = described.model, described.lora
    model = FederatedCLIPModel(
        own.model_name, own.num_classes, own.class_names, trainable_head=own.trainable_head
    )
    if not lora.enabled:
        return model
    settings = LoRAConfig(**lora.model_dump(include=set(LoRAFields.model_fields)))
    wrapper = CLIPLoRAWrapper(model, settings, lora.target_components)
    return wrapper.apply_lora_to_federated_model()


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FedloraError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        first_line = " ".join(str(error).split())[:200]
        raise FedloraError(f"{path}: not YAML: {first_line}") from None
