"""How strong an adapter should be, foretold from its task vector."""

import pytest
import torch

from fedlora.adapter.grams import Grams
from fedlora.adapter.product import norm
from fedlora.generators.norms import MOST, Norms, stretch
from tests.generators.linear_family import SPEC, linear_family

FAMILY = linear_family(samples=1)
BANK = FAMILY.bank


def test_layer_norms_are_those_of_the_dense_updates() -> None:
    adapter = BANK.adapters[0]
    dense = [
        SPEC.scaling(layer)
        * torch.linalg.norm(adapter.up[layer.name].double() @ adapter.down[layer.name].double())
        for layer in SPEC.layers
    ]
    assert torch.allclose(Grams.of([adapter]).layer_norms()[0], torch.stack(dense))
    head = sum(float(t.double().square().sum()) for t in adapter.head.values())
    assert norm(adapter) ** 2 == pytest.approx(float(torch.stack(dense).square().sum()) + head)


def test_norms_that_follow_the_task_are_foretold_for_unseen_ones() -> None:
    strengths = torch.exp(BANK.conditions[:, 0] / 4)
    sized = [
        stretch(adapter, strength / Grams.of([adapter]).layer_norms()[0])
        for adapter, strength in zip(BANK.adapters, strengths, strict=True)
    ]
    norms = Norms.of(sized, BANK.conditions, BANK.tasks)
    wanted = torch.exp(FAMILY.held_out[:, 0] / 4).double()
    inside = (wanted < strengths.max()) & (wanted > strengths.min())

    found = norms.foretold(FAMILY.held_out)

    assert inside.sum() >= 4
    assert torch.allclose(found[inside], wanted[inside].unsqueeze(1).expand(-1, 2), rtol=0.05)


def test_nothing_is_foretold_beyond_the_bank() -> None:
    norms = Norms.of(BANK.adapters, BANK.conditions, BANK.tasks)
    found = norms.foretold(BANK.conditions * 50)
    own = torch.stack([Grams.of([adapter]).layer_norms()[0] for adapter in BANK.adapters])
    assert bool((found <= own.amax(0) * (1 + 1e-9)).all())
    assert bool((found >= own.amin(0) * (1 - 1e-9)).all())


def test_a_layer_is_stretched_within_reason_and_one_of_zeros_is_left_alone() -> None:
    norms = Norms.of(BANK.adapters, BANK.conditions, BANK.tasks)
    faint = stretch(BANK.adapters[0], torch.tensor([1e-3, 0.0]))
    factors = norms.factors([faint], BANK.conditions[:1])
    assert factors.tolist() == [[MOST, 1.0]]


def test_what_is_saved_and_loaded_foretells_alike() -> None:
    norms = Norms.of(BANK.adapters, BANK.conditions, BANK.tasks)
    again = Norms.load(norms.tensors())
    assert torch.equal(norms.foretold(FAMILY.held_out), again.foretold(FAMILY.held_out))
