"""A network that changes teach: its step is a gradient's, and it begins where it is told to."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.errors import FedloraError
from fedlora.generators.hypernetwork import Hypernetwork
from tests.adapters import random_adapter
from tests.generators.linear_family import SPEC, linear_family

FAMILY = linear_family(tasks=6, samples=1)
KNOWN = FAMILY.bank.conditions
START = random_adapter(SPEC, seed=5)


def begun(hidden: int = 8, seed: int = 0, **teaching: Any) -> Hypernetwork:
    options = {"hidden": hidden, "condition_components": 3, "teaching": {"steps": 1} | teaching}
    generator = Hypernetwork(Hypernetwork.Config.model_validate(options))
    generator.begin(START, KNOWN, seed=seed)
    return generator


def changed(made: list[LoraAdapter], scale: float = 0.1, seed: int = 1) -> list[LoraAdapter]:
    """What training could have made of adapters."""
    draw = torch.Generator().manual_seed(seed)
    noise = scale * torch.randn(len(made), SPEC.size, generator=draw)
    return [
        LoraAdapter.from_flat(SPEC, one.flatten() + more)
        for one, more in zip(made, noise, strict=True)
    ]


def taught(generator: Hypernetwork, rounds: int) -> Hypernetwork:
    for number in range(rounds):
        made = generator.sample(KNOWN, seed=0)
        generator.step(KNOWN, made, changed(made, seed=number))
    return generator


def weights(generator: Hypernetwork) -> Tensor:
    return torch.cat([one.detach().reshape(-1) for one in generator._net.parameters()])


def same(one: Hypernetwork, two: Hypernetwork) -> bool:
    pairs = zip(one.sample(KNOWN, seed=0), two.sample(KNOWN, seed=0), strict=True)
    return all(a.digest() == b.digest() for a, b in pairs)


def test_it_begins_at_the_adapter_it_is_given() -> None:
    assert all(made.digest() == START.digest() for made in begun().sample(KNOWN, seed=0))


def test_it_makes_the_factors_that_it_is_taught_from_and_not_others_of_the_same_update() -> None:
    made = begun().sample(KNOWN[:1], seed=0, rank=4)[0]
    assert torch.equal(made.flatten(), START.flatten())


def test_a_round_moves_it_by_the_vector_jacobian_product_of_the_changes() -> None:
    generator = taught(begun(clip=1e9), rounds=2)
    made = generator.sample(KNOWN, seed=0)
    came = changed(made, seed=7)
    params = list(generator._net.parameters())
    expected = [torch.zeros_like(one) for one in params]
    for row, (before, after) in enumerate(zip(made, came, strict=True)):
        vector = (before.flatten() - after.flatten()) / len(made)
        out = generator._net(generator._project(KNOWN[row : row + 1]))[0]
        parts = torch.autograd.grad(out, params, vector)
        expected = [total + part for total, part in zip(expected, parts, strict=True)]

    generator.step(KNOWN, made, came)

    for one, wanted in zip(params, expected, strict=True):
        assert one.grad is not None
        assert torch.allclose(one.grad, wanted, rtol=1e-3, atol=1e-6 * float(wanted.abs().max()))


def test_the_first_step_is_of_the_learning_rate_along_the_signs_of_the_gradient() -> None:
    generator = begun(learning_rate=1e-3)
    before = generator._net.layers[-1].bias.detach().clone()
    made = generator.sample(KNOWN, seed=0)
    up = LoraAdapter.from_flat(SPEC, START.flatten() + 0.1)

    generator.step(KNOWN, made, [up] * len(made))

    moved = generator._net.layers[-1].bias.detach() - before
    assert torch.allclose(moved, torch.full_like(moved, 1e-3), rtol=1e-3)


def test_more_steps_come_nearer_to_what_came_back() -> None:
    def left(steps: int) -> float:
        generator = begun(hidden=32, steps=steps, learning_rate=2e-3, clip=1e9)
        made = generator.sample(KNOWN, seed=0)
        came = changed(made)
        generator.step(KNOWN, made, came)
        pairs = zip(generator.sample(KNOWN, seed=0), came, strict=True)
        return sum(float((a.flatten() - b.flatten()).norm()) for a, b in pairs)

    assert left(100) < 0.5 * left(1)


def test_who_changes_a_thousand_times_as_much_is_heard_as_twice_the_median() -> None:
    made = begun().sample(KNOWN, seed=0)
    came = changed(made)
    step = came[0].flatten() - made[0].flatten()
    sizes = [float((a.flatten() - b.flatten()).norm()) for a, b in zip(came, made, strict=True)]
    most = 2 * sorted(sizes[1:])[2] / sizes[0]
    loud, capped = begun(clip=2.0), begun(clip=1e9)
    for generator, scale in ((loud, 1000.0), (capped, most)):
        first = LoraAdapter.from_flat(SPEC, made[0].flatten() + scale * step)
        generator.step(KNOWN, made, [first, *came[1:]])
    assert torch.allclose(weights(loud), weights(capped), atol=1e-6)


def test_no_change_leaves_it_as_it_is() -> None:
    generator = begun(steps=3)
    before = weights(generator)
    made = generator.sample(KNOWN, seed=0)
    generator.step(KNOWN, made, made)
    assert torch.equal(weights(generator), before)


def test_equal_rounds_and_seed_give_equal_numbers_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    one = taught(begun(), rounds=3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = taught(begun(), rounds=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(one, two)
    assert not same(one, taught(begun(seed=1), rounds=3))


def test_what_was_taught_is_saved_and_loaded(tmp_path: Path) -> None:
    generator = taught(begun(), rounds=2)
    generator.save(tmp_path / "saved")
    assert same(Hypernetwork.load(tmp_path / "saved"), generator)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_fit_goes_beyond_the_mean_of_the_bank(held_out: bool, tmp_path: Path) -> None:
    family = linear_family()
    options = {"training": {"epochs": 150}}
    generator = Hypernetwork(Hypernetwork.Config.model_validate(options))
    generator.fit(family.bank, seed=0, workdir=tmp_path, progress=lambda losses: None)
    known = (family.bank.conditions, family.bank.adapters)
    asked, truth = (family.held_out, family.truth) if held_out else known
    center = generator.sample(family.bank.conditions.mean(0, keepdim=True), seed=0)[0]
    made = generator.sample(asked, seed=0)
    assert all(norm(one) > 0 for one in made)
    error = sum(distance(a, b) for a, b in zip(made, truth, strict=True))
    assert error < 0.6 * sum(distance(center, b) for b in truth)


def test_what_never_began_or_was_loaded_is_not_taught(tmp_path: Path) -> None:
    begun().save(tmp_path)
    conditions = linear_family().held_out
    for generator in (Hypernetwork(Hypernetwork.Config()), Hypernetwork.load(tmp_path)):
        with pytest.raises(FedloraError, match="is taught from where it began"):
            generator.step(conditions[:1], [random_adapter(SPEC, 0)], [random_adapter(SPEC, 1)])
