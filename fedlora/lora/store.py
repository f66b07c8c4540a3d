"""Configurations and adapters on disk, by name."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch

from fedlora import atomic, frame
from fedlora.config import LoRAFields
from fedlora.errors import FedloraError
from fedlora.lora.config import LoRAConfig
from fedlora.lora.wrapper import LoRAWrapper
from fedlora.registry import nearest
from fedlora.section import parse

CONFIGS, MODELS = Path("lora_configs"), Path("lora_models")
WEIGHTS, INFO = "model.safetensors", "info.json"


class LoRAConfigManager:
    """Configurations as JSON files, in `lora_configs` unless a folder is given."""

    @staticmethod
    def save_config(config: LoRAConfig, name: str, folder: Path | str = CONFIGS) -> Path:
        """Write NAME.json, whole or not at all; one of that name is replaced.

        Raises:
            FedloraError: the name or the configuration is not one, or the file cannot be written.
        """
        path = Path(folder) / f"{checked(name)}.json"
        if not isinstance(config, LoRAConfig):
            raise FedloraError(f"config: give a LoRAConfig, not {type(config).__name__}")
        atomic.write_text(path, config.model_dump_json(indent=2) + "\n")
        return path

    @staticmethod
    def load_config(name: str, folder: Path | str = CONFIGS) -> LoRAConfig:
        """Read NAME.json.

        Raises:
            FedloraError: there is none, or it is not a configuration.
        """
        path = Path(folder) / f"{checked(name)}.json"
        if not path.is_file():
            raise _missing(
                "configuration", name, [file.stem for file in path.parent.glob("*.json")]
            )
        try:
            return LoRAConfig(**dict(parse(LoRAFields, frame.read_json(path.read_text("utf-8")))))
        except (FedloraError, OSError, UnicodeDecodeError) as error:
            raise FedloraError(f"{path}: {error}") from None


class LoRAModelManager:
    """Trained wrappers as folders of safetensors and JSON, in `lora_models` unless given."""

    @staticmethod
    def save_model(wrapper: LoRAWrapper, name: str, folder: Path | str = MODELS) -> Path:
        """Write NAME/, whole or not at all: what `get_parameters` gives, and what it belongs to.

        Raises:
            FedloraError: the name is not one, there is no adapter yet, a value is not finite, or
                the folder cannot be written.
        """
        path = Path(folder) / checked(name)
        info = _described(wrapper)
        weights = frame.pack(wrapper.shared_tensors(), "format", "pt")
        with atomic.folder(path) as draft:
            (draft / WEIGHTS).write_bytes(weights)
            (draft / INFO).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n", "utf-8")
        return path

    @staticmethod
    def load_model(name: str, wrapper: LoRAWrapper, folder: Path | str = MODELS) -> LoRAWrapper:
        """Put saved tensors into a wrapper of the same model, rank and layers; gives it back.

        Raises:
            FedloraError: there is no such model, it is damaged, or it belongs to another
                architecture, base model, rank, set of layers or way of saving; nothing is then
                changed.
        """
        info = LoRAModelManager.get_model_info(name, folder)
        path = Path(folder) / name / WEIGHTS
        own = _described(wrapper)
        for key, what in _MUST_AGREE.items():
            if info.get(key) != own[key]:
                raise FedloraError(
                    f"'{name}' was saved with another {what}: {_short(info.get(key))}, and this"
                    f" wrapper has {_short(own[key])}"
                )
        try:
            data = path.read_bytes()
            tensors, _ = frame.unpack(data, len(data))
            shared = set(wrapper.shared_tensors())
            if missing := shared - set(tensors):
                raise FedloraError(f"tensor '{min(missing)}' is missing")
            if beyond := set(tensors) - shared:
                raise FedloraError(f"tensor '{min(beyond)}' is none that this wrapper trains")
            wrapper.write(tensors)
        except (FedloraError, OSError) as error:
            raise FedloraError(f"{path}: {error}") from None
        return wrapper

    @staticmethod
    def get_model_info(name: str, folder: Path | str = MODELS) -> dict[str, Any]:
        """What was saved: architecture, configuration, layers, counts, bytes of the weights.

        Raises:
            FedloraError: there is no such model, or its description is damaged.
        """
        path = Path(folder) / checked(name)
        if not (path / INFO).is_file():
            raise _missing(
                "model", name, [file.parent.name for file in path.parent.glob(f"*/{INFO}")]
            )
        try:
            info = frame.read_json((path / INFO).read_text("utf-8"))
        except (FedloraError, OSError, UnicodeDecodeError) as error:
            raise FedloraError(f"{path / INFO}: {error}") from None
        if not isinstance(info, dict) or not _MUST_AGREE.keys() <= info.keys():
            raise FedloraError(f"{path / INFO}: not a description; save the model again")
        if not (path / WEIGHTS).is_file():
            raise FedloraError(f"{path / WEIGHTS}: missing; save the model again")
        return {**info, "bytes": (path / WEIGHTS).stat().st_size}


_MUST_AGREE = {
    "bias": "bias",
    "save_only_trainable": "save_only_trainable",
    "rank": "rank",
    "alpha": "alpha",
    "layers": "set of adapted layers",
    "architecture": "architecture",
    "base": "base model",
}


def checked(name: str) -> str:
    """A name that is safe as a file's.

    Raises:
        FedloraError: it is not.
    """
    if not isinstance(name, str):
        raise FedloraError(f"name: give a string, not {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", name):
        raise FedloraError(
            f"name {name!r}: use letters, digits, '_', '-' and '.', no path, at most 80"
        )
    return name


def _described(wrapper: LoRAWrapper) -> dict[str, Any]:
    """All that a saved adapter belongs to.

    Raises:
        FedloraError: it is no wrapper, or has no adapter yet.
    """
    if not isinstance(wrapper, LoRAWrapper):
        raise FedloraError(
            f"{type(wrapper).__name__} is not wrapped: wrap it in a LoRAWrapper first"
        )
    injection, config = wrapper.injection, wrapper.lora_config
    other = set(injection.trained)
    if config.save_only_trainable:
        other |= set(wrapper.made_of_names())
    digest, shapes = hashlib.sha256(), hashlib.sha256()
    for name, tensor in sorted(injection.tensors(trained_only=False).items()):
        if name in other:
            continue
        shapes.update(f"{name.replace('.base_layer', '')}:{tuple(tensor.shape)};".encode())
        if config.save_only_trainable:
            values = tensor.cpu().contiguous()
            digest.update(name.encode() + values.flatten().view(torch.uint8).numpy().tobytes())
    return {
        "architecture": f"{type(wrapper.federated_model).__name__} {shapes.hexdigest()[:12]}",
        "base": digest.hexdigest(),
        "rank": config.r,
        "alpha": config.lora_alpha,
        "layers": list(injection.layers),
        "bias": config.bias,
        "save_only_trainable": config.save_only_trainable,
        "config": config.model_dump(mode="json"),
        "parameters": wrapper.parameter_counts(),
    }


def _short(value: Any) -> str:
    if isinstance(value, list):
        endings = sorted({str(name).rpartition(".")[2] for name in value})
        return f"{len(value)} layers ({', '.join(endings)})"
    return str(value)[:48]


def _missing(what: str, name: str, known: list[str]) -> FedloraError:
    hint = nearest(name, sorted(known)) if known else "none is saved there"
    return FedloraError(f"no saved {what} '{name}'; {hint}")
