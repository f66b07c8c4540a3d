"""Kriging against its slow definition."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.generators.kriging import Kriging, KrigingConfig, Process, left_out
from tests.generators.linear_family import linear_family

FAMILY = linear_family(tasks=16, samples=1)


def fitted(bank: TrainingBank = FAMILY.bank, **options: Any) -> Kriging:
    generator = Kriging(KrigingConfig(**options))
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return generator


def without(place: int) -> TrainingBank:
    bank = FAMILY.bank
    kept = [i for i in range(len(bank.tasks)) if i != place]
    return TrainingBank(
        [bank.adapters[i] for i in kept], bank.conditions[kept], [bank.tasks[i] for i in kept]
    )


def test_the_weights_sum_to_one() -> None:
    generator = fitted()
    weights = generator.weigh(generator.view(FAMILY.held_out))
    assert torch.allclose(weights.sum(1), torch.ones(len(weights), dtype=torch.float64))


def test_without_noise_it_passes_through_the_bank() -> None:
    made = fitted(noise=1e-6).sample(FAMILY.bank.conditions[:3], seed=0)
    for one, own in zip(made, FAMILY.bank.adapters, strict=False):
        assert distance(one, own) < 1e-3 * norm(own)


def test_with_much_noise_it_is_the_mean() -> None:
    bank = FAMILY.bank
    mean = mean_delta(bank.adapters, [1 / 16] * 16, 4)
    for one in fitted(noise=1e6).sample(FAMILY.held_out[:2], seed=0):
        assert distance(one, mean) < 1e-3 * norm(mean)


def test_a_linear_family_is_foretold_better_than_by_its_nearest() -> None:
    made = fitted(noise=None).sample(FAMILY.held_out, seed=0)
    errors = [distance(a, b) / norm(b) for a, b in zip(made, FAMILY.truth, strict=True)]
    assert sum(errors) / len(errors) < 0.15


def test_the_tasks_left_out_are_missed_as_by_what_is_made_of_the_others() -> None:
    whole = fitted(metric="plain")
    rest = [row for row in range(16) if row != 5]
    (made,) = fitted(rows_of(FAMILY.bank, rest), metric="plain").sample(
        FAMILY.bank.conditions[5:6], seed=0
    )
    size = sum(norm(adapter) ** 2 for adapter in FAMILY.bank.adapters) / 16
    missed = whole.left_out_errors[1][5]
    assert float(missed) == pytest.approx(
        distance(made, FAMILY.bank.adapters[5]) ** 2 / size, rel=0.05
    )


def test_the_left_out_misses_are_those_of_a_system_without_the_task() -> None:
    generator = fitted(noise=0.3, metric="plain")
    known, rest = generator.known, [i for i in range(16) if i != 5]
    process = Process.of(known, generator.config)
    misses, variances = left_out(process.observed(known, 0.3))
    weights, variance = process.krige(known[5:6], known[rest], 0.3)
    assert torch.allclose(misses[5, rest], -weights[0], atol=1e-9)
    assert float(variances[5]) == pytest.approx(float(variance))


def test_it_is_less_sure_far_from_the_bank() -> None:
    generator = fitted()
    near, far = generator.foretold_error(torch.stack([FAMILY.held_out[0], FAMILY.held_out[0] + 9]))
    assert near < far


def test_what_it_foretells_of_its_error_fits_the_bank() -> None:
    generator = fitted()
    errors = []
    for place in range(16):
        alone = Kriging(KrigingConfig(noise=generator.facts["noise"]))
        alone.fit(without(place), seed=0, workdir=Path("never-written"), progress=lambda _: None)
        own = FAMILY.bank.adapters[place]
        made = alone.sample(FAMILY.bank.conditions[place : place + 1], seed=0)[0]
        errors.append(distance(made, own) ** 2)
    sizes = sum(norm(a) ** 2 for a in FAMILY.bank.adapters) / 16
    foretold = generator.foretold_error(FAMILY.held_out)
    assert 0.5 < float(foretold.mean()) / (sum(errors) / 16 / sizes) < 2


def test_an_answer_is_made_of_the_nearest_tasks_alone() -> None:
    whole, few = fitted(metric="plain"), fitted(metric="plain", neighbours=5)
    asked = few.view(FAMILY.held_out[:3])
    weights = few.weigh(asked)
    near = torch.cdist(asked, few.known).topk(5, largest=False).indices.sort(1).values
    assert torch.equal(weights.nonzero()[:, 1].view(3, 5), near)
    assert torch.allclose(weights.sum(1), torch.ones(3, dtype=torch.float64))
    same = few.weigh(asked[:1])
    assert torch.equal(same[0], weights[0])
    assert torch.all(few.foretold_error(FAMILY.held_out) >= whole.foretold_error(FAMILY.held_out))


def test_as_many_neighbours_as_tasks_are_all_of_them() -> None:
    asked = FAMILY.held_out
    weights = [(g := fitted(neighbours=n)).weigh(g.view(asked)) for n in (None, 16, 128)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_it_says_how_well_the_bank_knows_a_task() -> None:
    generator = fitted()
    own, new = generator.reach(FAMILY.bank.conditions[0]), generator.reach(FAMILY.held_out[0])
    far = generator.reach(FAMILY.held_out[0] + 100)
    assert own.distance == pytest.approx(0, abs=1e-6)
    assert 0 < new.distance < far.distance
    assert own.error is not None
    assert new.error is not None
    assert far.error is not None
    assert own.error < new.error < far.error
