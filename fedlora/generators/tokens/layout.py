"""Which value of an adapter lies where among the tokens."""

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional

from fedlora.adapter import AdapterSpec
from fedlora.section import Section


class TokensConfig(Section):
    """How matrices are cut; both published layouts are here.

    flat: every matrix as one row, cut into pieces that fill a token of `token_dim` entries with
        their mean and scale (the LoRA Parameter Generator's [512, 384]).
    tiles: `down` and the transpose of `up`, both (rank, d), cut into tiles of `tile` rows and
        columns, with two more rows for mean and scale (Drag-and-Drop LLMs, arXiv 2506.16406).
    """

    layout: Literal["flat", "tiles"] = "flat"
    token_dim: int = Field(384, ge=4, description="entries of a flat token, two for statistics")
    tile: tuple[PositiveInt, PositiveInt] = (8, 128)
    max_tokens: int | None = Field(None, ge=1, description="of the sequence; derived when absent")

    @model_validator(mode="after")
    def _check_tile(self) -> Self:
        if math.prod(self.tile) < 2:
            raise ValueError("tile: a tile of one value has no scale; make it larger")
        return self

    @property
    def cut(self) -> tuple[int, int]:
        """Rows and columns of a piece."""
        return (1, self.token_dim - 2) if self.layout == "flat" else self.tile

    @property
    def entries(self) -> int:
        """Numbers in a token, D: its values and its statistics."""
        rows, columns = self.cut
        return self.token_dim if self.layout == "flat" else (rows + 2) * columns

    @property
    def repeats(self) -> int:
        """How often a token says each of its two statistics."""
        return 1 if self.layout == "flat" else self.tile[1]


def idle_key(given: Mapping[str, object]) -> str | None:
    """Of the keys given for a `TokensConfig`, the one that its layout has no use for."""
    idle = "token_dim" if given.get("layout") == "tiles" else "tile"
    return idle if idle in given else None


def places(spec: AdapterSpec, config: TokensConfig) -> Tensor:
    """(S, rows * columns) int64: for each entry of each piece its index in `flatten`.

    Padding has the index `spec.size`. Layer by layer: `down`, then `up` transposed, so that both
    are (rank, d); then the head.
    """
    start, pieces = 0, []

    def cut(matrix: Tensor) -> None:
        flat = matrix.reshape(1, -1) if config.layout == "flat" else matrix
        pieces.append(_cut(flat, *config.cut, fill=spec.size))

    for layer in spec.layers:
        middle, end = start + layer.rank * layer.d_in, start + layer.size
        cut(torch.arange(start, middle).view(layer.rank, layer.d_in))
        cut(torch.arange(middle, end).view(layer.d_out, layer.rank).T)
        start = end
    for _, shape in spec.head:
        end = start + math.prod(shape)
        cut(torch.arange(start, end).view(1, -1))
        start = end
    return torch.cat(pieces)


def _cut(matrix: Tensor, rows: int, columns: int, fill: int) -> Tensor:
    """A matrix as pieces (k, rows * columns), filled up at its right and lower edges."""
    height, width = matrix.shape
    full = functional.pad(matrix, (0, -width % columns, 0, -height % rows), value=fill)
    tall, wide = full.shape[0] // rows, full.shape[1] // columns
    return full.view(tall, rows, wide, columns).transpose(1, 2).reshape(-1, rows * columns)
