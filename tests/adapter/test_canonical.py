"""One gauge for many adapters: same updates, comparable factors."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.canonical import align, balance, canonicalise
from fedlora.adapter.product import distance, norm
from fedlora.errors import FedloraError
from tests import adapters
from tests.adapters import regauged

SPEC = AdapterSpec(
    base="base",
    layers=(LayerSpec("first", 16, 12, 4), LayerSpec("second", 12, 16, 4)),
    alpha=8.0,
    head=(("bias", (3,)),),
)


def random_adapter(seed: int, scale: float = 1.0) -> LoraAdapter:
    return adapters.random_adapter(SPEC, seed, scale)


def relatives(count: int) -> list[LoraAdapter]:
    """Small moves away from one adapter, each written in factors of its own."""
    centre = random_adapter(0).flatten()
    return [
        regauged(LoraAdapter.from_flat(SPEC, centre + random_adapter(1 + i, 0.05).flatten()), i)
        for i in range(count)
    ]


def spread(adapters: list[LoraAdapter]) -> float:
    """Mean distance of the flat factors to their mean, as a share of the mean's norm."""
    flat = torch.stack([adapter.flatten() for adapter in adapters])
    return float((flat - flat.mean(0)).norm(dim=1).mean() / flat.mean(0).norm())


def test_balanced_form_is_one_for_all_gauges_of_an_update() -> None:
    a = random_adapter(0)
    forms = [balance(a), balance(regauged(a, 1)), balance(regauged(a, 2))]
    assert distance(forms[0], a) < 1e-6 * norm(a)
    for other in forms[1:]:
        assert torch.allclose(other.flatten(), forms[0].flatten(), atol=1e-4)


def test_aligning_undoes_a_rotation_of_the_ranks() -> None:
    reference = balance(random_adapter(0))
    turned = LoraAdapter(
        SPEC,
        {name: down.flip(0) for name, down in reference.down.items()},
        {name: -up.flip(1) for name, up in reference.up.items()},
        reference.head,
    )
    turned = LoraAdapter(SPEC, {n: -d for n, d in turned.down.items()}, turned.up, turned.head)
    assert torch.allclose(align(turned, reference).flatten(), reference.flatten(), atol=1e-5)


def test_canonicalising_keeps_every_update_and_gathers_the_factors() -> None:
    bank = relatives(6)
    aligned, mean = canonicalise(bank)

    for before, after in zip(bank, aligned, strict=True):
        assert distance(before, after) < 1e-5 * norm(before)
        assert torch.equal(before.head["bias"], after.head["bias"])
    assert spread(aligned) < 0.1
    assert spread(aligned) < 0.5 * spread([balance(adapter) for adapter in bank])
    stacked = torch.stack([adapter.flatten() for adapter in aligned]).mean(0)
    assert torch.allclose(stacked, mean.flatten(), atol=1e-5)


def test_canonical_factors_do_not_depend_on_the_gauge_they_came_in() -> None:
    bank = relatives(5)
    other = [regauged(adapter, 90 + i) for i, adapter in enumerate(bank)]
    for one, two in zip(canonicalise(bank)[0], canonicalise(other)[0], strict=True):
        assert torch.allclose(one.flatten(), two.flatten(), atol=1e-3)


def test_a_latecomer_joins_the_gauge_of_the_bank() -> None:
    bank = relatives(6)
    aligned, mean = canonicalise(bank)
    again = align(balance(regauged(bank[2], 50)), mean)
    assert torch.allclose(again.flatten(), aligned[2].flatten(), atol=1e-3)


def test_zero_updates_stay_zero() -> None:
    zero = LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size))
    aligned, mean = canonicalise([zero, zero])
    assert norm(aligned[0]) == 0.0
    assert bool(torch.isfinite(mean.flatten()).all())


def test_different_ranks_have_no_common_factors() -> None:
    other = LoraAdapter.from_flat(SPEC.with_rank(2), torch.ones(SPEC.with_rank(2).size))
    with pytest.raises(FedloraError, match="different ranks"):
        canonicalise([random_adapter(0), other])
