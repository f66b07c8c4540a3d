"""Images in rows: their column when they are encoded, and what a model sees of it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedlora.finetune.objectives.contract import Rows
from fedlora.tasks.image_files import ImageFiles

PIXELS = "pixel_values"


def encode_images(inputs: np.ndarray | ImageFiles | Sequence[str]) -> Tensor:
    """(n, channels, height, width): float32 in [0, 1], or uint8 that stay on disk for files."""
    if isinstance(inputs, ImageFiles):
        return torch.from_numpy(inputs.on_disk())
    return torch.as_tensor(inputs, dtype=torch.float32)


def images(rows: Rows, device: torch.device) -> Tensor:
    """A batch's images (n, channels, height, width) in [0, 1], where the model is."""
    column = rows[PIXELS].to(device)
    return column if column.is_floating_point() else column / 255
