"""Each baseline against its definition."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.generators.blend import Blend
from fedlora.generators.contract import TrainingBank
from fedlora.generators.mean import Mean
from fedlora.generators.nearest import Nearest
from fedlora.generators.ridge import Ridge
from fedlora.generators.topk import TopK
from tests.adapters import random_adapter
from tests.generators.linear_family import SPEC, linear_family

FAMILY = linear_family(tasks=12)


def fitted(kind: type[Blend], bank: TrainingBank, **options: Any) -> Blend:
    generator = kind(kind.Config(**options))
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return generator


def uneven() -> TrainingBank:
    """The first task with both of its samples, the other tasks with one."""
    bank = FAMILY.bank
    kept = [0, *range(1, len(bank.tasks), 2)]
    return TrainingBank(
        [bank.adapters[i] for i in kept], bank.conditions[kept], [bank.tasks[i] for i in kept]
    )


def test_one_odd_task_does_not_set_the_reach_of_the_bank() -> None:
    places = torch.arange(41.0)
    places[-1] = 1000.0  # forty tasks a step apart, and one far away
    adapters = [random_adapter(SPEC, task) for task in range(41)]
    nearest = Nearest.of(
        TrainingBank(adapters, places[:, None], [f"{task}" for task in range(41)]), 1, Path("none")
    )

    def apart(place: float) -> float:
        return nearest.neighbours(torch.tensor([place]), 1)[0][1]

    assert apart(-0.9) < nearest.facts["reach"] < apart(-1.1)


def test_the_mean_counts_tasks_and_not_samples() -> None:
    bank = uneven()
    count = len(set(bank.tasks))
    weights = [1 / count / bank.tasks.count(task) for task in bank.tasks]
    expected = mean_delta(bank.adapters, weights, 4)
    assert weights[0] == weights[2] / 2
    for made in fitted(Mean, bank).sample(FAMILY.held_out[:2], seed=0):
        assert distance(made, expected) < 1e-5 * norm(expected)


def test_the_nearest_task_answers_with_the_mean_of_its_samples() -> None:
    bank = uneven()
    seen = torch.stack([bank.conditions[:2].mean(0), bank.conditions[4]])
    first, fourth = fitted(Nearest, bank).sample(seen, seed=0)
    own = mean_delta(bank.adapters[:2], [0.5, 0.5], 4)
    assert distance(first, own) < 1e-5 * norm(own)
    assert distance(fourth, bank.adapters[4]) < 1e-5 * norm(own)


def test_one_neighbour_is_the_nearest() -> None:
    one = fitted(TopK, FAMILY.bank, k=1, metric="plain").sample(FAMILY.held_out, seed=0)
    nearest = fitted(Nearest, FAMILY.bank).sample(FAMILY.held_out, seed=0)
    for a, b in zip(one, nearest, strict=True):
        assert distance(a, b) < 1e-5 * norm(a)


def test_top_k_weights_are_a_softmax_over_the_k_nearest() -> None:
    generator = fitted(TopK, FAMILY.bank, k=3, temperature=2.0)
    asked = generator.known[:1] + 0.1
    weights = generator.weigh(asked)[0]
    apart = torch.cdist(asked.double(), generator.known.double())[0] ** 2
    chosen = apart.argsort()[:3]
    raw = torch.exp(-apart[chosen] / (2.0 * generator.facts["scale"]))
    assert torch.allclose(weights[chosen], raw / raw.sum())
    assert int((weights > 0).sum()) == 3


def test_a_few_neighbours_add_up_as_they_do_among_all() -> None:
    generator = fitted(TopK, FAMILY.bank, k=3)
    asked = generator.view(FAMILY.held_out)
    weights = generator.weigh(asked)
    for row, made in zip(weights, generator.combine(weights), strict=True):
        whole = mean_delta(FAMILY.bank.adapters, row @ generator._shares, made.spec.layers[0].rank)
        assert distance(made, whole) < 1e-5 * norm(whole)


def test_k_is_chosen_to_foretell_left_out_tasks() -> None:
    free = fitted(TopK, FAMILY.bank, k=None).facts
    others = [fitted(TopK, FAMILY.bank, k=k).facts["left_out_error"] for k in (1, 3, 8)]
    assert free["left_out_error"] <= min(others)


def test_ridge_recovers_a_linear_family() -> None:
    generator = fitted(Ridge, FAMILY.bank)
    for made, truth in zip(generator.sample(FAMILY.held_out, seed=0), FAMILY.truth, strict=True):
        assert distance(made, truth) < 0.1 * norm(truth)


def test_ridge_is_the_primal_regression() -> None:
    """The dual weights give what regressing DeltaW, dense, on the conditions gives."""
    generator = fitted(Ridge, FAMILY.bank, penalty=0.3)
    known = generator.known.double()
    tasks = sorted(set(FAMILY.bank.tasks))
    deltas = torch.stack(
        [
            torch.stack(
                [
                    adapter.delta("block.0.query").double().flatten()
                    for adapter, task in zip(FAMILY.bank.adapters, FAMILY.bank.tasks, strict=True)
                    if task == name
                ]
            ).mean(0)
            for name in tasks
        ]
    )
    lift = 0.3 * torch.trace(known @ known.T) / len(known)
    square = known.T @ known + lift * torch.eye(known.shape[1], dtype=torch.float64)
    asked = generator.known[:2].double() * 0.7
    slopes = torch.linalg.solve(square, known.T @ (deltas - deltas.mean(0)))
    expected = deltas.mean(0) + asked @ slopes
    assert torch.allclose(generator.weigh(asked.float()) @ deltas, expected, atol=1e-4)


def test_ridge_left_out_error_is_that_of_leaving_out() -> None:
    bank = linear_family(tasks=6, samples=1).bank
    generator = fitted(Ridge, bank, penalty=0.5)
    known = generator.known.double()
    lift = 0.5 * torch.trace(known @ known.T) / 6 * torch.eye(10, dtype=torch.float64)
    total = 0.0
    for left in range(6):
        kept = [i for i in range(6) if i != left]
        centre = known[kept].mean(0)
        z = known[kept] - centre
        slope = (known[left] - centre) @ torch.linalg.solve(z.T @ z + lift, z.T)
        weights = 1 / 5 + slope
        made = mean_delta([bank.adapters[i] for i in kept], weights, 16 // 2)
        total += distance(made, bank.adapters[left]) ** 2
    spread = sum(norm(adapter) ** 2 for adapter in bank.adapters)
    assert generator.facts["left_out_error"] == pytest.approx(total / spread, rel=0.05)


def test_one_task_is_enough_to_be_copied() -> None:
    bank = FAMILY.bank
    only = TrainingBank(bank.adapters[:1], bank.conditions[:1], bank.tasks[:1])
    for kind in (Mean, Nearest, TopK):
        made = fitted(kind, only).sample(FAMILY.held_out[:1], seed=0)[0]
        assert distance(made, bank.adapters[0]) < 1e-5 * norm(made)


def test_a_feature_that_never_varies_does_not_matter() -> None:
    bank = FAMILY.bank
    constant = torch.full((len(bank.tasks), 1), 3.3)
    wider = TrainingBank(bank.adapters, torch.cat([bank.conditions, constant], 1), bank.tasks)
    asked = torch.cat([FAMILY.held_out, torch.full((len(FAMILY.held_out), 1), 99.0)], 1)

    def digests(made: list[LoraAdapter]) -> list[str]:
        return [adapter.digest() for adapter in made]

    plain = fitted(Nearest, bank).sample(FAMILY.held_out, seed=0)
    assert digests(fitted(Nearest, wider).sample(asked, seed=0)) == digests(plain)
