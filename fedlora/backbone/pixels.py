"""How a vision model wants its images: their size, and what white and black are to it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils.hub import cached_file

FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class Pixels:
    """side: of the square images that the model takes, None for any. mean, std: a channel each,
    by which images in [0, 1] are normalised; empty where the model takes them as they are.
    """

    side: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def prepare(self, images: Tensor) -> Tensor:
        """Images (n, channels, height, width) in [0, 1] as the model takes them."""
        if self.side is not None and images.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            images = functional.interpolate(images, size=size, mode="bilinear")
        if not self.mean:
            return images
        mean = torch.tensor(self.mean).to(images)[:, None, None]
        std = torch.tensor(self.std).to(images)[:, None, None]
        return torch.div(images - mean, std)


def read_pixels(where: str, config: Any) -> Pixels:
    """What a model's configuration and its preprocessor_config.json, if it has one, say."""
    side = getattr(config, "image_size", None)
    found = cached_file(
        where,
        FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    raw = json.loads(Path(found).read_text("utf-8")) if found else {}
    normalised = raw.get("do_normalize", True)
    mean, std = ((raw.get(key) or ()) if normalised else () for key in ("image_mean", "image_std"))
    return Pixels(
        side=side if isinstance(side, int) else None,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )
