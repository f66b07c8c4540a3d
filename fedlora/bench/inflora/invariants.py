"""The invariants, measured on random tasks in float64, both conventions, both forms."""

import torch
from torch import Tensor

from fedlora.continual.design import design_down
from fedlora.continual.memory import Energy, Memory
from fedlora.results import Claim

WIDTH, RANK, OLD = 64, 4, 20
DRAWS = 20


def invariants() -> list[Claim]:
    """The largest deviation over draws, energies, and M or its complement stored."""
    worst = dict.fromkeys(("B M", "3 B B^T - I", "felt by old inputs", "forms"), 0.0)
    for draw in range(DRAWS):
        for energy in ("features", "covariance"):
            for old_rank in (OLD, WIDTH - OLD):
                for name, value in _measure(draw, energy, old_rank).items():
                    worst[name] = max(worst[name], value)
    what = {
        "B M": "||B M|| of designed branches",
        "3 B B^T - I": "||3 B B^T - I||",
        "felt by old inputs": "||DeltaW x_old|| / ||DeltaW x_new||, old inputs rank deficient",
        "forms": "difference of the projections by M and by its complement",
    }
    return [
        Claim(id="I1", what=f"{what[name]}, largest", value=value, sense="<=", target=1e-12)
        for name, value in worst.items()
    ]


def _measure(draw: int, energy: Energy, old_rank: int) -> dict[str, float]:
    rng = torch.Generator().manual_seed(draw)
    old, new = _inputs(rng, old_rank), _inputs(rng, WIDTH)
    memory = Memory.empty(WIDTH).grow(old.T @ old / len(old), 1.0, energy)
    moment = new.T @ new / len(new)
    down = design_down(moment, memory, RANK, "bench")
    delta = torch.randn(WIDTH, RANK, generator=rng, dtype=torch.float64) @ down
    other = Memory(
        torch.linalg.qr(memory.basis, mode="complete").Q[:, memory.basis.shape[1] :],
        complement=not memory.complement,
    )
    rows = 3 * down @ down.T - torch.eye(RANK, dtype=torch.float64)
    return {
        "B M": float(torch.linalg.norm(down.T - memory.beyond(down.T))),
        "3 B B^T - I": float(torch.linalg.norm(rows)),
        "felt by old inputs": float(
            torch.linalg.norm(delta @ old.T) / torch.linalg.norm(delta @ new.T)
        ),
        "forms": float(torch.linalg.norm(memory.beyond(moment) - other.beyond(moment))),
    }


def _inputs(rng: torch.Generator, rank: int) -> Tensor:
    """(200, WIDTH) float64 of the given rank, of falling strength."""
    basis = torch.linalg.qr(torch.randn(WIDTH, rank, generator=rng, dtype=torch.float64)).Q
    scales = torch.logspace(0, -1.5, rank, dtype=torch.float64)
    draws = torch.randn(200, rank, generator=rng, dtype=torch.float64)
    inputs: Tensor = (draws * scales) @ basis.T
    return inputs
