"""Where a bank is thin, and which further task would help most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from fedlora.generators.blend import distances, usual_distances
from fedlora.generators.contract import TrainingBank
from fedlora.generators.kriging import Kriging, KrigingConfig


@dataclass(frozen=True)
class Spot:
    """One task, in the bank or not, and how well the bank knows what lies around it.

    nearest: squared distance to the nearest other task of the bank; 1 is what is usual there.
    foretold: expected |error|^2 of DeltaW by kriging from the other tasks of the bank, in mean
        squared norms of the bank's adapters.
    missed: what that error really was; None of a task whose adapter is not in the bank.
    gain: by how much the mean foretold error of the other tasks outside would fall if this one
        joined the bank; None in the bank, and where no other is outside.
    """

    task: str
    in_bank: bool
    nearest: float
    foretold: float
    missed: float | None
    gain: float | None


def survey(bank: TrainingBank, arrived: TrainingBank | None, prompts: int = 1) -> list[Spot]:
    """`coverage` of a bank and of tasks that are not in it, after a fit of its own.

    Args:
        bank: all adapters, with their task vectors.
        arrived: of newcomers; None where there are none.
        prompts: encoded prompts in a task vector.

    Raises:
        FedloraError: kriging cannot learn from this bank.
    """
    kriging = Kriging(KrigingConfig(noise=None, metric="plain"))
    seen = replace(bank, conditions=kriging.sees(bank.conditions, prompts))
    with TemporaryDirectory() as scratch:
        kriging.fit(seen, seed=0, workdir=Path(scratch), progress=lambda _: None)
    tasks, vectors = list[str](), torch.empty(0, seen.conditions.shape[1])
    if arrived is not None:
        tasks, vectors = list(arrived.tasks), kriging.sees(arrived.conditions, prompts)
    return coverage(kriging, sorted(set(bank.tasks)), tasks, vectors)


def coverage(
    kriging: Kriging, bank: Sequence[str], tasks: Sequence[str], outside: Tensor
) -> list[Spot]:
    """The tasks outside, most helpful first, then those of the bank, the least sure first.

    Args:
        kriging: fitted to the bank in this process.
        bank: names of the bank's tasks, each once, in name order.
        tasks: names of the tasks outside, m.
        outside: (m, c) their task vectors.
    """
    apart, usual = usual_distances(kriging.known)
    foretold, missed = kriging.left_out_errors
    known = [
        Spot(name, True, float(near / usual), float(told), float(real), None)
        for name, near, told, real in zip(bank, apart.amin(1), foretold, missed, strict=True)
    ]
    others = [_outside(kriging, name, outside, place, usual) for place, name in enumerate(tasks)]
    return [
        *sorted(others, key=lambda spot: -(spot.gain or 0.0)),
        *sorted(known, key=lambda spot: -spot.foretold),
    ]


def calibration(spots: Sequence[Spot]) -> float | None:
    """Rank correlation of foretold and real errors over the bank's tasks.

    None where there are fewer than three.
    """
    pairs = [(spot.foretold, spot.missed) for spot in spots if spot.missed is not None]
    return rank_correlation(pairs) if len(pairs) >= 3 else None


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Spearman's, of what stands first with what stands second."""
    from scipy.stats import spearmanr  # half a second, which a run should not wait for

    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def _outside(kriging: Kriging, task: str, outside: Tensor, place: int, usual: float) -> Spot:
    own = outside[place : place + 1]
    rest = torch.cat([outside[:place], outside[place + 1 :]])
    gain = None
    if len(rest):
        after = kriging.foretold_error(rest, joined=own)
        gain = float((kriging.foretold_error(rest) - after).mean())
    apart = distances(kriging.view(own), kriging.known)
    foretold = float(kriging.foretold_error(own))
    return Spot(task, False, float(apart.min()) / usual, foretold, None, gain)
