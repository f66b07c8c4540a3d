"""Where a bank is thin, against systems solved with and without a task."""

from pathlib import Path

import pytest
import torch

from fedlora.adapter.product import distance, norm
from fedlora.generators.bank import rows_of
from fedlora.generators.coverage import Spot, calibration, coverage
from fedlora.generators.kriging import Kriging, KrigingConfig, Process, left_out
from tests.generators.linear_family import linear_family

FAMILY = linear_family(tasks=12, samples=1)
BANK = FAMILY.bank


@pytest.fixture(scope="module")
def kriging() -> Kriging:
    return fitted(KrigingConfig(noise=None, metric="plain"))


def fitted(config: KrigingConfig, rows: list[int] | None = None) -> Kriging:
    generator = Kriging(config)
    bank = BANK if rows is None else rows_of(BANK, rows)
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return generator


def test_a_task_of_the_bank_is_missed_as_by_a_bank_without_it(kriging: Kriging) -> None:
    spots = {spot.task: spot for spot in coverage(kriging, BANK.tasks, [], torch.empty(0, 10))}
    rest = [row for row in range(12) if row != 3]
    process = Process.of(kriging.known, kriging.config)
    misses, _ = left_out(process.observed(kriging.known, kriging.facts["noise"]))
    weights = -misses[3, rest]
    (made,) = fitted(KrigingConfig(noise=None, metric="plain"), rest).combine(weights.unsqueeze(0))
    size = sum(norm(adapter) ** 2 for adapter in BANK.adapters) / 12
    # the combination is cut to the bank's rank
    missed = spots[BANK.tasks[3]].missed
    assert missed == pytest.approx(distance(made, BANK.adapters[3]) ** 2 / size, rel=0.3)
    foretold = [spot.foretold for spot in spots.values()]
    assert foretold == sorted(foretold, reverse=True)
    assert sum(foretold) == pytest.approx(sum(spot.missed or 0 for spot in spots.values()))


def test_a_task_that_joins_makes_surer_of_itself_and_of_no_other_less(kriging: Kriging) -> None:
    outside = FAMILY.held_out
    before = kriging.foretold_error(outside)
    after = kriging.foretold_error(outside, joined=outside[:1])
    assert bool((after <= before * (1 + 1e-9)).all())
    assert float(after[0]) < float(before[0])


def test_who_is_near_the_other_newcomers_helps_them_most(kriging: Kriging) -> None:
    far = BANK.conditions.amax(0) + 4 * BANK.conditions.std(0)
    crowd = [far, far + 0.1, far - 0.1]
    alone = BANK.conditions.amin(0) - 4 * BANK.conditions.std(0)
    spots = coverage(kriging, BANK.tasks, ["a", "b", "c", "alone"], torch.stack([*crowd, alone]))
    newcomers = [spot for spot in spots if not spot.in_bank]
    assert [spot.in_bank for spot in spots] == [False] * 4 + [True] * 12
    assert newcomers[-1].task == "alone"
    gains = [spot.gain for spot in newcomers]
    assert gains == sorted(gains, reverse=True)
    assert all(spot.nearest > 1 and spot.missed is None for spot in newcomers)


def test_one_newcomer_helps_nobody_else(kriging: Kriging) -> None:
    spot = coverage(kriging, BANK.tasks, ["only"], FAMILY.held_out[:1])[0]
    assert spot.gain is None
    assert spot.foretold == pytest.approx(float(kriging.foretold_error(FAMILY.held_out[:1])))


@pytest.mark.parametrize(
    ("missed", "wanted"), [((1, 2, 9), 1.0), ((3, 2, 1), -1.0), ((1, 2), None)]
)
def test_calibration_is_a_rank_correlation(missed: tuple[int, ...], wanted: float | None) -> None:
    spots = [Spot(str(n), True, 1.0, float(n), float(m), None) for n, m in enumerate(missed)]
    spots.append(Spot("outside", False, 1.0, 5.0, None, None))
    found = calibration(spots)
    assert found is wanted if wanted is None else found == pytest.approx(wanted)
