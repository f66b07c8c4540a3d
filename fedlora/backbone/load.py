"""Load a frozen base model, whatever its architecture."""

import io
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from fedlora import cache
from fedlora.backbone.clip import ClipTowers, load_clip
from fedlora.backbone.finite import check_finite
from fedlora.backbone.florence2 import ARCHITECTURE, Florence, load_florence
from fedlora.backbone.pixels import Pixels, read_pixels
from fedlora.backbone.weights import digest, loading, locate
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError

# What cannot be fetched is said once, by us.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()

Modality = Literal["vision", "text", "causal-lm", "vision-to-text"]


@dataclass(frozen=True, eq=False)
class BaseModel:
    """A frozen model and what turns raw text into its inputs.

    classifier: the linear head of an image classifier, taken off the model so that the model's
        logits are its pooled features (n, width); None otherwise.
    labels: the names of the classifier's rows.
    clip: of a CLIP, whose vision tower `model` is, the towers: they make a classifier of any
        class names; None otherwise.
    florence: of a Florence-2, how images and prompts become its input; None otherwise.
    reference: what `from_pretrained` takes to load the same model.
    digest: SHA-256 of the weights; an adapter belongs to one digest.
    """

    model: nn.Module
    modality: Modality
    tokenizer: Any | None
    classifier: nn.Linear | None
    labels: tuple[str, ...]
    reference: str
    digest: str
    parameters: int
    clip: ClipTowers | None = None
    florence: Florence | None = None
    pixels: Pixels = field(default_factory=Pixels)

    @property
    def task_type(self) -> str | None:
        """PEFT's name for what the model does; it has none for image classification."""
        return {
            "vision": None,
            "text": "FEATURE_EXTRACTION",
            "causal-lm": "CAUSAL_LM",
            "vision-to-text": "SEQ_2_SEQ_LM",
        }[self.modality]


def load_base(config: BackboneConfig, key: str = "backbone.name") -> BaseModel:
    """Load, freeze and put into evaluation mode.

    Args:
        config: which model.
        key: of the configuration that names it.

    Raises:
        FedloraError: the model is missing, or its files cannot be read.
    """
    where = locate(config.name, key)
    with loading(key, config.name):
        if config.name == "smollm2":
            where = _converted(Path(where))
        return _load(where, config)


def _load(where: str, config: BackboneConfig) -> BaseModel:
    described = AutoConfig.from_pretrained(where)
    if (described.architectures or [""])[0] == "CLIPModel":
        return _load_clip(where, config)
    if config.num_classes is not None:
        raise FedloraError(f"backbone.num_classes: only for a CLIP, which '{config.name}' is not")
    if (described.architectures or [""])[0] == ARCHITECTURE:
        return _load_florence(where, config)
    modality = _modality(described)
    loader = {
        "vision": AutoModelForImageClassification,
        "text": AutoModel,
        "causal-lm": AutoModelForCausalLM,
    }[modality]
    model, found = loader.from_pretrained(
        where, dtype=getattr(torch, config.dtype), output_loading_info=True
    )
    model.eval().requires_grad_(False)
    _zero(model, found["missing_keys"])
    check_finite(model)
    identity, parameters = digest(model), sum(p.numel() for p in model.parameters())
    tokenizer, classifier = None, None
    labels: tuple[str, ...] = ()
    if modality == "vision":
        classifier = _detach_classifier(model)
        labels = tuple(str(described.id2label[i]) for i in range(described.num_labels))
    else:
        tokenizer = AutoTokenizer.from_pretrained(where)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    pixels = read_pixels(where, described) if modality == "vision" else Pixels()
    return BaseModel(
        model,
        modality,
        tokenizer,
        classifier,
        labels,
        where,
        identity,
        parameters,
        pixels=pixels,
    )


def _load_clip(where: str, config: BackboneConfig) -> BaseModel:
    """The vision tower takes the adapter; an adapter belongs to the text tower as well."""
    towers = replace(
        load_clip(where, getattr(torch, config.dtype)),
        templates=config.prompts,
        num_classes=config.num_classes,
    )
    towers.model.requires_grad_(False)
    vision = towers.vision()
    parameters = sum(p.numel() for p in vision.parameters())
    identity = digest(towers.model)
    return BaseModel(vision, "vision", None, None, (), where, identity, parameters, towers)


def _load_florence(where: str, config: BackboneConfig) -> BaseModel:
    model, tokenizer, florence = load_florence(where, getattr(torch, config.dtype))
    model.eval().requires_grad_(False)
    identity, parameters = digest(model), sum(p.numel() for p in model.parameters())
    return BaseModel(
        model, "vision-to-text", tokenizer, None, (), where, identity, parameters, florence=florence
    )


def _modality(described: Any) -> Modality:
    name = (described.architectures or [""])[0]
    if name.endswith("ForImageClassification") or _is_bare_vision(described):
        return "vision"
    return "causal-lm" if name.endswith(("ForCausalLM", "LMHeadModel")) else "text"


def _is_bare_vision(described: Any) -> bool:
    """A vision encoder that was saved without a classifier."""
    name = (described.architectures or [""])[0]
    return name.endswith("Model") and hasattr(described, "image_size")


def _zero(model: nn.Module, missing: Iterable[str]) -> None:
    """What a checkpoint lacks is drawn at random; zero, it is the same everywhere."""
    weights = model.state_dict()
    for name in missing:
        weights[name].zero_()


def _detach_classifier(model: nn.Module) -> nn.Linear:
    """Take the last linear layer off an image classifier, leaving its features."""
    name, head = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Identity())
    return head


def _converted(package: Path) -> str:
    """SmolLM2 as safetensors: its package holds GGUF, which takes half a minute to unpack."""
    target = cache.folder() / "models" / "smollm2-135m-instruct"
    if (target / "config.json").is_file():
        return str(target)
    file = next(package.glob("*.gguf")).name
    with redirect_stderr(io.StringIO()):  # its progress bar heeds no setting
        model: Any = AutoModelForCausalLM.from_pretrained(
            package, gguf_file=file, dtype=torch.float32
        )
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    model.save_pretrained(scratch)
    AutoTokenizer.from_pretrained(package, gguf_file=file).save_pretrained(scratch)
    try:
        scratch.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(scratch)
    return str(target)
