"""What a PEFT configuration says about an adapter, read without trust."""

import re
from pathlib import Path
from typing import Any

from fedlora import foreign, frame
from fedlora.errors import FedloraError

_HARMLESS = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout",
    "lora_ga_config", "megatron_core", "modules_to_save", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules",
    "task_type", "use_rslora",
}  # fmt: skip
"""Keys that leave DeltaW = scaling * up @ down; any other must be unset."""

TASK_TYPES = {
    "SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION",
}  # fmt: skip
"""PEFT's names of what a model does."""

_INITIAL = (None, True, False, "gaussian", "eva", "orthogonal")
"""Initial values that leave the base model's weights as they are."""


def read(path: Path) -> dict[str, Any]:
    """The configuration of a plain LoRA.

    Raises:
        FedloraError: the file is missing or damaged, or asks for more than plain LoRA.
    """
    config = _read_json(path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise FedloraError(f"'{path}': peft_type is not LORA; only LoRA adapters are supported")
    for key in sorted(set(config) - _HARMLESS):
        if config[key] not in (None, False, [], {}, "none"):
            raise FedloraError(f"'{path}': {key!a:.80} is set; train plain LoRA, without it")
    if config.get("init_lora_weights") not in _INITIAL:
        raise FedloraError(
            f"'{path}': init_lora_weights changes the base model; save the adapter as plain LoRA"
            " (path_initial_model_for_weight_conversion of PEFT's save_pretrained)"
        )
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise FedloraError(f"'{path}': alpha_pattern is not an object")
    if not all(_is_alpha(value) for value in (config.get("lora_alpha"), *patterns.values())):
        raise FedloraError(f"'{path}': an alpha is not a positive number below a million")
    modules = config.get("modules_to_save") or []
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        raise FedloraError(f"'{path}': modules_to_save is not a list of names")
    return config


def alpha(config: dict[str, Any], name: str) -> float:
    """The alpha of one layer: PEFT takes the first pattern that ends its name, or is it with ^.

    Patterns are compared as text: an expression from a stranger is never run.
    """
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        literal = re.sub(r"\\(\W)", r"\1", pattern.removeprefix("^"))
        if not re.fullmatch(r"[\w.-]+", literal):
            raise FedloraError(f"alpha_pattern {pattern!a:.80}: name the layer in full instead")
        if name == literal or (pattern[0] != "^" and name.endswith(f".{literal}")):
            return float(value)
    return float(config["lora_alpha"])


def check_rank(config: dict[str, Any], name: str, rank: int) -> None:
    """Refuse a layer of another rank than the configuration says, as PEFT does.

    Patterns of ranks are not followed, since an expression from a stranger is never run.

    Raises:
        FedloraError: it is.
    """
    said = config.get("r")
    if not config.get("rank_pattern") and said != rank:
        raise FedloraError(
            f"layer '{name}' has rank {rank}, and adapter_config.json says r={said!a:.20}: write r"
            f" as {rank}, if lora_alpha is that of this rank, or save the adapter again"
        )


def in_saved_module(config: dict[str, Any], tensor: str) -> bool:
    """Whether a tensor belongs to one of `modules_to_save`, whose names are suffixes too."""
    module = tensor.rpartition(".")[0]
    saved = config.get("modules_to_save") or []
    return any(f".{name}." in f".{module}." for name in saved)


def _read_json(path: Path) -> Any:
    try:
        return frame.read_json(foreign.read_text(path))
    except FileNotFoundError:
        raise FedloraError(f"no '{path}': an adapter folder of PEFT has one") from None
    except (OSError, UnicodeDecodeError, FedloraError) as error:
        raise FedloraError(f"'{path}' cannot be read ({error}): copy it again") from None


def _is_alpha(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6
