"""Florence-2: images and a prompt in, text with boxes out (arXiv 2311.06242)."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, Florence2ForConditionalGeneration
from transformers.utils.hub import cached_file

from fedlora.backbone.clip import ImageInput
from fedlora.errors import FedloraError

ARCHITECTURE = "Florence2ForConditionalGeneration"
HUB_ID = "florence-community/Florence-2-base"
"""What the name `florence2` stands for: the weights in transformers' own format."""


@dataclass(frozen=True, eq=False)
class Florence:
    """What a Florence-2 needs beside its weights and its tokenizer.

    images: how images become its input.
    image_token: the id that stands for one position of an image in a prompt.
    positions: of an image.
    text: the configuration of its language model.
    """

    images: ImageInput
    image_token: int
    positions: int
    text: Any

    def prompt(self, tokenizer: Any, text: str) -> Tensor:
        """Token ids (1, n) of an image's positions and a prompt in <s> and </s>."""
        words = tokenizer(text, return_tensors="pt")["input_ids"]
        image = torch.full((1, self.positions), self.image_token)
        return torch.cat([image, words], 1)


def load_florence(where: str, dtype: torch.dtype) -> tuple[Any, Any, Florence]:
    """The model, its tokenizer, and the rest, from a folder or hub id.

    Raises:
        FedloraError: a file that says how images are prepared is missing or says something else.
        Exception: its files are missing or damaged; transformers raises many kinds.
    """
    model: Any = Florence2ForConditionalGeneration.from_pretrained(where, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(where)
    saved = _preparation(where)
    vision = model.config.vision_config
    try:
        size = int(saved["size"]["height"])
        mean, std = tuple(saved["image_mean"]), tuple(saved["image_std"])
    except (KeyError, TypeError, ValueError) as error:
        raise FedloraError(
            f"backbone.name: '{where}': its preprocessor_config.json lacks {error}"
        ) from None
    images = ImageInput(size, int(vision.in_channels), mean, std)
    # One summary of the whole image, and the cells of the last stage.
    positions = 1 + (size // math.prod(vision.patch_stride)) ** 2
    florence = Florence(
        images, int(model.config.image_token_id), positions, model.config.text_config
    )
    return model, tokenizer, florence


def _preparation(where: str) -> dict[str, Any]:
    try:
        file = cached_file(where, "preprocessor_config.json")
        saved: dict[str, Any] = json.loads(Path(str(file)).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FedloraError(
            f"backbone.name: '{where}' has no readable preprocessor_config.json, which says how"
            f" images are prepared ({str(error).splitlines()[0]})"
        ) from None
    return saved
