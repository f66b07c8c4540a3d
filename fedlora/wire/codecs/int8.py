"""Eight bits a value, one scale a row."""

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.section import Section
from fedlora.wire.codecs.contract import Codec, Shapes, check_length, size_of

LEVELS = 127

LARGEST = torch.nextafter(torch.tensor(torch.finfo(torch.float32).max) / LEVELS, torch.zeros(()))
"""Of scales: 127 of it are still a number, which 127 of the next are not."""


class Int8Config(Section):
    """No options."""


class Int8(Codec):
    """round(value / scale) as int8, scale = largest of the row / 127 as float32.

    A row lies along a matrix's longer side: a row of `down` or a column of `up`, which is one
    rank of the adapter. Rows of d values take 8 + 32 / d bits a value. Bound: half the scale.
    """

    Config = Int8Config

    @override
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        scales, codes = [], []
        for row in rows_of(values, shapes):
            scale = (row.abs().amax(1) / LEVELS).clamp_max(LARGEST)
            # A row of zeros, or one too small for a scale of its own, is sent as zeros.
            whole = torch.where(scale > 0, scale, 1.0)[:, None]
            codes.append(torch.round(row / whole).clamp(-LEVELS, LEVELS).to(torch.int8).flatten())
            scales.append(scale)
        return torch.cat([torch.cat(scales).view(torch.uint8), torch.cat(codes).view(torch.uint8)])

    @override
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        check_length(data, self.most(shapes))
        head = 4 * sum(map(_rows, shapes))
        scales = data[:head].clone().view(torch.float32).split([_rows(shape) for shape in shapes])
        codes = data[head:].clone().view(torch.int8)
        parts = []
        for shape, scale, part in zip(shapes, scales, codes.split(_sizes(shapes)), strict=True):
            values = part.reshape(len(scale), -1).to(torch.float32) * scale[:, None]
            parts.append(_unturn(values, shape))
        return torch.cat(parts)

    @override
    def most(self, shapes: Shapes) -> int:
        return 4 * sum(map(_rows, shapes)) + size_of(shapes)

    @override
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        """Half of the largest scale, its rounding, and what is too small for any scale."""
        largest = max(float(row.abs().max()) for row in rows_of(values, shapes))
        return largest / LEVELS * (0.5 + 1e-4) + LEVELS * torch.finfo(torch.float32).smallest_normal


def rows_of(values: Tensor, shapes: Shapes) -> list[Tensor]:
    """Each tensor as a matrix (rows, d) whose rows lie along its longer side."""
    return [
        part.reshape(shape).T if _turned(shape) else part.reshape(_rows(shape), -1)
        for part, shape in zip(values.split(_sizes(shapes)), shapes, strict=True)
    ]


def _unturn(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    return (rows.T if _turned(shape) else rows).reshape(-1)


def _turned(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] > shape[1]


def _rows(shape: tuple[int, ...]) -> int:
    return min(shape) if len(shape) == 2 else 1


def _sizes(shapes: Shapes) -> list[int]:
    return [torch.Size(shape).numel() for shape in shapes]
