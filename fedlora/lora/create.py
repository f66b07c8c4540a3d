"""A model from YAML."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fedlora.config import ClipLora, LoRAFields, RunConfig, merged
from fedlora.errors import FedloraError
from fedlora.lora.clip_model import FederatedCLIPModel
from fedlora.lora.clip_wrapper import CLIPLoRAWrapper
from fedlora.lora.config import LoRAConfig
from fedlora.section import parse

# Of a run's own file, which may describe the model of its federation.
OF_A_RUN = frozenset(RunConfig.model_fields) - {"backbone", "lora"}


def create_model(
    config: str | Path | Mapping[str, Any],
) -> CLIPLoRAWrapper | FederatedCLIPModel:
    """The model that the sections `model` and `lora` of a YAML file, or of a mapping, describe.

    The adapter is applied; with `lora.enabled: false` the plain model is returned. The file may be
    a run's: its other sections are left to the run.

    Raises:
        FedloraError: one line with the file, the key and the remedy.
    """
    if not isinstance(config, Mapping | str | Path):
        raise FedloraError(f"config: give a file or a mapping, not {type(config).__name__}")
    origin = "config" if isinstance(config, Mapping) else str(config)
    raw = config if isinstance(config, Mapping) else merged(Path(config), ())
    try:
        own = {name: section for name, section in raw.items() if name not in OF_A_RUN}
        if own.keys() <= {"backbone", "lora"}:
            raise FedloraError("model: missing; write type: clip_lora, model_name and num_classes")
        return _build(parse(ClipLora, own))
    except FedloraError as error:
        raise FedloraError(f"{origin}: {error}") from None


def _build(described: ClipLora) -> CLIPLoRAWrapper | FederatedCLIPModel:
    own, lora = described.model, described.lora
    with _of("model", own):
        model = FederatedCLIPModel(
            own.model_name, own.num_classes, own.class_names, own.templates, own.trainable_head
        )
    if not lora.enabled:
        return model
    settings = LoRAConfig(**lora.model_dump(include=set(LoRAFields.model_fields)))
    with _of("lora", lora):
        wrapper = CLIPLoRAWrapper(model, settings, lora.target_components)
        return wrapper.apply_lora_to_federated_model()


@contextmanager
def _of(name: str, section: BaseModel) -> Iterator[None]:
    """Name the section in a complaint about one of its keys."""
    try:
        yield
    except FedloraError as error:
        if re.split(r"\W", str(error), maxsplit=1)[0] not in type(section).model_fields:
            raise
        raise FedloraError(f"{name}.{error}") from None
