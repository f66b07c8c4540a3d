"""Samples that lie are foretold worst by the others, and none moves what is learned too far."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, gram, norm
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.generators.kriging import Kriging, KrigingConfig
from fedlora.generators.ridge import Ridge, RidgeConfig
from fedlora.generators.trimming import capped, left_out_losses, worst
from tests.adapters import random_adapter
from tests.generators.linear_family import linear_family

FAMILY = linear_family(tasks=16)
OWNERS = [at // 2 for at in range(32)]  # two samples a client, a client a task
BANK = replace(FAMILY.bank, clients=OWNERS)
LIARS = (3, 9)


def flipped(adapter: LoraAdapter) -> LoraAdapter:
    up = {name: -values for name, values in adapter.up.items()}
    return LoraAdapter(adapter.spec, adapter.down, up, adapter.head)


def poisoned(bank: TrainingBank) -> TrainingBank:
    pairs = zip(bank.adapters, OWNERS, strict=True)
    return replace(bank, adapters=[flipped(a) if own in LIARS else a for a, own in pairs])


def with_part(part, config, folder: Path):
    def foretell(bank, conditions):
        generator = part(config)
        generator.fit(bank, seed=0, workdir=folder, progress=lambda _: None)
        return generator.sample(conditions, seed=0)

    return foretell


@pytest.mark.parametrize(("part", "config"), [
    (Ridge, RidgeConfig()), (Kriging, KrigingConfig(noise=None)),
])  # fmt: skip
def test_those_who_lie_are_the_worst_foretold(part, config, tmp_path: Path):
    foretell = with_part(part, config, tmp_path)
    losses = left_out_losses(poisoned(BANK), foretell, 4)
    assert {OWNERS[at] for at in worst(losses, 4 / 32)} == set(LIARS)


def test_a_loss_is_that_of_a_generator_that_never_saw_the_client(tmp_path: Path):
    seen: list[set[int]] = []

    def foretell(bank: TrainingBank, conditions: torch.Tensor) -> list[LoraAdapter]:
        seen.append(set(bank.clients or ()))
        return [bank.adapters[0]] * len(conditions)

    losses = left_out_losses(BANK, foretell, 5)

    assert len(seen) == 5
    assert all(sum(owner not in known for known in seen) == 1 for owner in OWNERS)
    first_kept = [next(at for at in range(32) if OWNERS[at] in known) for known in seen]
    for at, owner in enumerate(OWNERS):
        (fold,) = [f for f, known in enumerate(seen) if owner not in known]
        slow = distance(BANK.adapters[first_kept[fold]], BANK.adapters[at]) ** 2
        assert float(losses[at]) == pytest.approx(slow)


def test_a_bank_that_names_no_clients_is_dealt_by_task_and_one_client_is_not_judged():
    named: list[set[str]] = []

    def foretell(bank: TrainingBank, conditions: torch.Tensor) -> list[LoraAdapter]:
        named.append(set(bank.tasks))
        return [bank.adapters[0]] * len(conditions)

    left_out_losses(FAMILY.bank, foretell, 16)
    assert [len(tasks) for tasks in named] == [15] * 16
    alone = rows_of(BANK, [0, 1])
    assert left_out_losses(alone, foretell, 4).tolist() == [0, 0]
    assert len(named) == 16


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 0), (0.25, 1), (0.49, 2), (0.5, 2)])
def test_the_share_is_rounded_down(share: float, count: int):
    losses = torch.tensor([1.0, 5.0, 3.0, 5.0, 2.0][: 5 if share == 0.49 else 4])
    out = worst(losses, share)
    assert len(out) == count
    assert set(out) <= {1, 3}


@pytest.mark.parametrize("start", [None, random_adapter(BANK.adapters[0].spec, 7, 0.1)])
def test_no_change_is_longer_than_the_cap_and_the_others_stay(start: LoraAdapter | None):
    loud = LoraAdapter.from_flat(BANK.adapters[5].spec, 9 * BANK.adapters[5].flatten())
    bank = replace(BANK, adapters=[*BANK.adapters[:5], loud, *BANK.adapters[6:]])
    zero = LoraAdapter.from_flat(loud.spec, torch.zeros(loud.spec.size))

    def lengths(of: TrainingBank) -> torch.Tensor:
        return torch.tensor([distance(a, start or zero) for a in of.adapters])

    before, after = lengths(bank), lengths(found := capped(bank, start, 1.5))
    limit = 1.5 * before.quantile(0.5)
    assert before[5] > 10 * limit
    assert after.max() <= limit * 1.002
    for at, adapter in enumerate(bank.adapters):
        assert (found.adapters[at] is adapter) == bool(before[at] <= limit)
    products = gram([loud, found.adapters[5]])
    cosine = products[0, 1] / (norm(loud) * norm(found.adapters[5]))
    assert float(cosine) > (0.9999 if start is None else 0.95)
