"""Changes of an image domain, deterministic and for a whole batch at once."""

import math
from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from fedlora import seeding
from fedlora.section import Section


class ImageTransform(Section):
    """What a domain does to every image, in this order.

    shear: degrees by which vertical lines lean. rotation: degrees, counter-clockwise.
    blur: standard deviation of a Gaussian, in pixels. contrast: distances to mid-grey are
    multiplied by it. inversion: black becomes white. noise: standard deviation of Gaussian
    noise, where black to white is 1. Corners that turn into view are black before inversion.
    """

    rotation: float = 0.0
    shear: float = Field(0.0, gt=-80, lt=80)
    blur: float = Field(0.0, ge=0, le=7)
    contrast: float = Field(1.0, gt=0)
    inversion: bool = False
    noise: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _refuse_infinities(self) -> Self:
        numbers = (self.rotation, self.shear, self.blur, self.contrast, self.noise)
        if not all(map(math.isfinite, numbers)):
            raise ValueError("factors: use finite numbers")
        return self

    def apply(self, images: np.ndarray, seed: int) -> np.ndarray:
        """Images (n, channels, height, width) float32 in [0, 1], changed; `seed` is the noise's."""
        pixels = torch.from_numpy(images)
        if self.rotation or self.shear:
            pixels = _warp(pixels, self.rotation, self.shear)
        if self.blur:
            pixels = _blur(pixels, self.blur)
        if self.contrast != 1:
            pixels = 0.5 + self.contrast * (pixels - 0.5)
        if self.inversion:
            pixels = 1 - pixels
        if self.noise:
            generator = seeding.generator(seed, "noise")
            pixels = pixels + self.noise * torch.randn(pixels.shape, generator=generator)
        changed: np.ndarray = pixels.clamp(0, 1).numpy()
        return changed


def _warp(images: Tensor, rotation: float, shear: float) -> Tensor:
    """Bilinear, about the centre; each output pixel looks up where it came from."""
    turn, lean = math.radians(rotation), math.tan(math.radians(shear))
    cos, sin = math.cos(turn), math.sin(turn)
    # Inverse of "shear, then rotate" in the y-down coordinates of affine_grid.
    rows = [[cos - lean * sin, -sin - lean * cos, 0.0], [sin, cos, 0.0]]
    theta = torch.tensor(rows, dtype=images.dtype).expand(len(images), 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _blur(images: Tensor, sigma: float) -> Tensor:
    """A separable Gaussian, cut at three standard deviations; edges are repeated."""
    reach = min(math.ceil(3 * sigma), images.shape[-1] - 1, images.shape[-2] - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    count, channels, height, width = images.shape
    flat = images.reshape(count * channels, 1, height, width)
    wide = functional.pad(flat, (reach, reach, reach, reach), mode="replicate")
    across = functional.conv2d(wide, weights.view(1, 1, 1, -1))
    return functional.conv2d(across, weights.view(1, 1, -1, 1)).reshape(images.shape)
