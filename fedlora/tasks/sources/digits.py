"""The digits of scikit-learn (Alpaydin, Kaynak 1998, UCI), CC BY 4.0."""

import numpy as np
import torch
from torch.nn import functional

from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table

MAXIMUM = 16.0


class Config(Section):
    """size: side of the images in pixels, interpolated from 8."""

    size: int = 28


class Digits(Source):
    """1,797 handwritten digits from scikit-learn, enlarged from 8 x 8 pixels."""

    Config = Config

    def load(self) -> Table:
        """Images (1797, 1, size, size) float32 in [0, 1]; no test split of its own."""
        from sklearn.datasets import load_digits

        data = load_digits()
        small = torch.from_numpy(data.images.astype(np.float32) / MAXIMUM).unsqueeze(1)
        side = (self.config.size, self.config.size)
        images = functional.interpolate(small, size=side, mode="bilinear", align_corners=False)
        return Table(
            kind="image-classification",
            examples=Examples(inputs=images.numpy(), labels=data.target.astype(np.int64)),
            label_names=tuple(str(digit) for digit in range(10)),
        )
