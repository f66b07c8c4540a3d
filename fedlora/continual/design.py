"""Where a new task's branch may write: the rows of its frozen `down`."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.continual.memory import NOISE, Memory, check_moment
from fedlora.errors import FedloraError

SHRINK = 1 / math.sqrt(3)
"""Rows of `down` have this length, about that of PEFT's uniform start (Liang and Li's code)."""


Exhausted = Literal["error", "zero"]
"""What becomes of rows for which old tasks leave no direction."""


def design_down(
    moment: Tensor, memory: Memory, rank: int, where: str, exhausted: Exhausted = "error"
) -> Tensor:
    """InfLoRA's `down`: the strongest directions of a new task outside the old tasks' space.

    The top left singular vectors of (I - M M^T) C, transposed, divided by sqrt(3), so that
    3 down down^T = I and down M = 0 (Liang and Li 2024, arXiv 2404.00228, section 3.3).

    Args:
        moment: C = E[x x^T] of the new task, (d, d) float64, before it is trained.
        memory: the old tasks' space; an empty one designs for the task alone.
        rank: rows.
        where: names the task and the layer in errors.
        exhausted: `zero` leaves rows without a direction zero, which lowers the branch's rank
            there. The released code returns arbitrary directions.

    Returns:
        (rank, d) float64.

    Raises:
        FedloraError: fewer than `rank` directions outside M hold more than rounding.
    """
    check_moment(moment)
    left, singular, _ = torch.linalg.svd(memory.beyond(moment))
    held = int((singular > NOISE * torch.linalg.matrix_norm(moment, 2)).sum())
    return _rows(memory, left[:, :rank], held, where, exhausted)


def random_down(
    memory: Memory,
    rank: int,
    generator: torch.Generator,
    where: str,
    exhausted: Exhausted = "error",
) -> Tensor:
    """Random directions of the complement, as long as designed ones, (rank, d) float64.

    Raises:
        FedloraError: the complement has fewer than `rank` dimensions.
    """
    drawn = torch.randn(memory.width, rank, generator=generator, dtype=torch.float64)
    return _rows(memory, drawn, memory.width - memory.size, where, exhausted)


def leak(branch: LoraAdapter, memories: Mapping[str, Memory]) -> float:
    """||DeltaW M|| / ||DeltaW|| over all layers: the share of an update that old inputs feel.

    Args:
        branch: the trained update.
        memories: the old tasks' space by layer, as it was when the branch was designed.

    Returns:
        0 to 1; 0 for an update of zero.
    """
    felt, whole = 0.0, 0.0
    for layer in branch.spec.layers:
        down, up = branch.down[layer.name].double(), branch.up[layer.name].double()
        old = down.T - memories[layer.name].beyond(down.T)
        felt += float(torch.sum((up @ old.T) ** 2))
        whole += float(torch.sum((up @ down) ** 2))
    return math.sqrt(felt / whole) if whole > 0 else 0.0


def _rows(
    memory: Memory, directions: Tensor, held: int, where: str, exhausted: Exhausted
) -> Tensor:
    """Orthogonal rows outside M, of which `held` at most are not zero."""
    rank = directions.shape[1]
    if held < rank and exhausted == "error":
        place = f"{where}: what is free holds {held} directions, fewer than lora.rank={rank};"
        if memory.size == 0:
            raise FedloraError(f"{place} lower lora.rank")
        raise FedloraError(
            f"{place} lower lora.rank, or the thresholds of continual.method, or set"
            " continual.method.exhausted=zero"
        )
    # Projected once more: singular vectors of weak directions are exact to their strength only.
    rows: Tensor = torch.linalg.qr(memory.beyond(directions[:, :held])).Q.T * SHRINK
    return torch.nn.functional.pad(rows, (0, 0, 0, rank - len(rows)))
