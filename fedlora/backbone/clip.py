"""CLIP's two towers: images on one side, class names on the other (arXiv 2103.00020)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModelWithProjection,
)
from transformers.utils.hub import cached_file

from fedlora.backbone.finite import check_finite
from fedlora.errors import FedloraError

TEMPLATES = ("a photo of a {}.",)

# Where image settings are saved: alone, or with the tokenizer's as newer transformers do.
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

# A tokenizer's words are in one of these.
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")

# Interpolation overshoots 1 a little; pixels from 0 to 255 are another matter.
LARGEST_PIXEL = 1.5

# Of the pixels that CLIP was trained on, for models without either.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ImageInput:
    """How images become what a vision tower takes.

    size: height and width in pixels; channels: of the tower.
    mean, std: of each channel, of pixels in [0, 1].
    """

    size: int
    channels: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def prepare(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [0, 1] -> (n, channels, size, size), as CLIP's own processor does it.

        The shorter side is scaled to `size`, the middle of the longer one kept; one channel is
        repeated; then each channel is normalised.

        Raises:
            FedloraError: the images have neither one channel nor those of the tower, or are no
                floating-point numbers in [0, 1], or there are none.
        """
        if not isinstance(images, Tensor) or not images.is_floating_point():
            raise FedloraError("images: give a tensor of floats in [0, 1], such as pixels / 255")
        if images.ndim != 4 or images.shape[1] not in (1, self.channels):
            raise FedloraError(
                f"images of shape {tuple(images.shape)}: this model takes (n, 1 or"
                f" {self.channels}, height, width)"
            )
        height, width = images.shape[-2:]
        if not height * width:
            raise FedloraError(f"images of shape {tuple(images.shape)}: there is no pixel in them")
        if len(images) and float(images.amax()) > LARGEST_PIXEL:
            raise FedloraError("images: give values in [0, 1], such as pixels / 255")
        short = min(height, width)
        if short != self.size:
            scaled = (self.size * height // short, self.size * width // short)
            images = functional.interpolate(images, scaled, mode="bicubic", antialias=True)
            images, (height, width) = images.clamp(0, 1), scaled
        top, left = (height - self.size) // 2, (width - self.size) // 2
        images = images[..., top : top + self.size, left : left + self.size]
        mean = images.new_tensor(self.mean).reshape(-1, 1, 1)
        std = images.new_tensor(self.std).reshape(-1, 1, 1)
        return (images.expand(-1, self.channels, -1, -1) - mean) / std


@dataclass(frozen=True, eq=False)
class ClipTowers:
    """A CLIPModel, its tokenizer if it has one, its way with images, and its prompts.

    num_classes: how many classes a task must have; None for any.
    """

    model: Any
    tokenizer: Any | None
    images: ImageInput
    reference: str
    templates: Sequence[str] = TEMPLATES
    num_classes: int | None = None

    def vision(self) -> Any:
        """The vision tower and its projection as transformers' own class, sharing weights."""
        with torch.device("meta"):
            tower = CLIPVisionModelWithProjection(self.model.config.vision_config)
        tower.vision_model = self.model.vision_model
        tower.visual_projection = self.model.visual_projection
        return tower.eval()

    def tokens(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """input_ids and attention_mask, (n, longest).

        Raises:
            FedloraError: there is no tokenizer.
        """
        if self.tokenizer is None:
            raise FedloraError(
                f"'{self.reference}' has no tokenizer, so class names cannot be read; save one"
                " beside the model"
            )
        longest = int(self.model.config.text_config.max_position_embeddings)
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=longest, padding=True, return_tensors="pt"
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def name_rows(self, names: Sequence[str]) -> Tensor:
        """`name_rows` of the class names in every template."""
        tokens = self.tokens(fill(self.templates, names))
        tokens = {key: column.to(self.model.device) for key, column in tokens.items()}
        with torch.no_grad():
            return name_rows(self.model, tokens, len(names))


def check_templates(templates: Sequence[str]) -> None:
    """Refuse what is no list of prompts with a place for a class name.

    Raises:
        FedloraError: which.
    """
    if isinstance(templates, str) or not isinstance(templates, Sequence) or not templates:
        raise FedloraError('templates: give a list of prompts, such as ["a photo of a {}."]')
    for template in templates:
        if not isinstance(template, str) or "{}" not in template:
            raise FedloraError(f"templates: put {{}} where the class name belongs in {template!r}")


def fill(templates: Sequence[str], names: Sequence[str]) -> list[str]:
    """Every name in every template, the templates of a name side by side."""
    return [template.replace("{}", name) for name in names for template in templates]


def name_rows(model: Any, tokens: dict[str, Tensor], classes: int) -> Tensor:
    """A classifier's rows from the prompts of its class names (section 3.1.4 of CLIP's paper).

    Args:
        model: a CLIPModel.
        tokens: of classes * templates prompts, as `fill` orders them.
        classes: how many classes.

    Returns:
        (classes, width): exp(logit_scale) times the mean embedding of each name's prompts, of
        unit length; its product with an image's embedding of unit length is a logit.
    """
    pooled = model.text_model(**tokens).pooler_output
    prompts = functional.normalize(model.text_projection(pooled), dim=-1)
    means = functional.normalize(prompts.unflatten(0, (classes, -1)).mean(1), dim=-1)
    rows: Tensor = model.logit_scale.exp() * means
    return rows


def load_clip(where: str, dtype: torch.dtype = torch.float32) -> ClipTowers:
    """The towers in a folder or hub id that `locate` gave.

    Raises:
        ValueError: it is no CLIP, or weights are missing or not finite.
        Exception: its files are missing or damaged; transformers raises many kinds.
    """
    described = AutoConfig.from_pretrained(where)
    if not isinstance(described, CLIPConfig):
        raise ValueError(f"a model of type '{described.model_type}', no CLIP")
    loaded: Any = CLIPModel.from_pretrained(
        where, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
    )
    model, found = loaded
    # what a checkpoint lacks, or has in other shapes, would be drawn at random
    if missing := sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}):
        raise ValueError(f"its weights lack '{missing[0]}' of the shape that its config asks for")
    check_finite(model)
    return ClipTowers(model.eval(), _tokenizer(where), image_input(described, where), where)


def _tokenizer(where: str) -> Any | None:
    """The model's tokenizer; None where there is none."""
    if not any(_file(where, name) for name in TOKENIZER_FILES):
        return None
    return AutoTokenizer.from_pretrained(where)


def image_input(config: Any, where: str | None = None) -> ImageInput:
    """Size and channels of a CLIPConfig, and the normalisation that was saved beside the model."""
    vision = config.vision_config
    saved = {} if where is None else _processor_settings(where)
    channels = int(vision.num_channels)
    mean, std = (
        tuple(map(float, saved.get(key) or usual))
        for key, usual in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD))
    )
    if where is not None and not len(mean) == len(std) == channels:
        raise ValueError(f"image_mean and image_std: {channels} numbers each are needed")
    return ImageInput(int(vision.image_size), channels, mean, std)


def _processor_settings(where: str) -> dict[str, Any]:
    """What was saved of the image processor; empty where nothing was."""
    saved: dict[str, Any] = {}
    for name in PROCESSOR_FILES:
        if (file := _file(where, name)) is not None:
            found = json.loads(file.read_text("utf-8"))
            saved |= found.get("image_processor", found)
    return saved


def _file(where: str, name: str) -> Path | None:
    """A file of a folder or of a hub id; None if it has no such file."""
    try:
        return Path(str(cached_file(where, name)))
    except OSError:
        return None
