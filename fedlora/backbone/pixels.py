"""How a vision model wants its images: their size, and what white and black are to it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils.hub import cached_file

from fedlora.errors import FedloraError

FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class Pixels:
    """side: of the square images that the model takes, None for any. mean, std: a channel each,
    by which images in [0, 1] are normalised; empty where the model takes them as they are.
    channels: that the model takes, None for any.
    """

    side: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: int | None = None

    def prepare(self, images: Tensor) -> Tensor:
        """Images (n, channels, height, width) in [0, 1] as the model takes them.

        One channel is repeated where the model takes more.

        Raises:
            FedloraError: the images have other channels.
        """
        if self.channels is not None and images.shape[1] != self.channels:
            if images.shape[1] != 1:
                raise FedloraError(
                    f"backbone.name: the model takes images of {self.channels} channels, and"
                    f" those of the task have {images.shape[1]}; name another model, or give"
                    " other images"
                )
            images = images.expand(-1, self.channels, -1, -1)
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
    side, channels = (getattr(config, key, None) for key in ("image_size", "num_channels"))
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
        channels=channels if isinstance(channels, int) else None,
    )
