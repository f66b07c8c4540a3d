"""Retrieval with a correction: it begins as retrieval, and stays that where nothing is gained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.product import distance, gram, norm
from fedlora.generators.components import Components
from fedlora.generators.contract import TrainingBank
from fedlora.generators.corrected import Corrected
from fedlora.generators.correction import CorrectionConfig, CorrectionNetwork, Neighbourhood
from fedlora.generators.topk import TopK, TopKConfig
from tests.adapters import random_adapter
from tests.generators.linear_family import SPEC, Family, linear_family

FAMILY = linear_family(samples=1)
QUICK: dict[str, Any] = {"folds": 3, "training": {"epochs": 150, "learning_rate": 5e-3}}


def fitted(bank: TrainingBank, workdir: Path) -> Corrected:
    generator = Corrected(Corrected.Config.model_validate(QUICK))
    generator.fit(bank, seed=0, workdir=workdir, progress=lambda losses: None)
    return generator


def retrieval(generator: Corrected, bank: TrainingBank) -> TopK:
    """The top-k that a corrected generator starts from."""
    k, temperature = int(generator.facts["k"]), generator.facts["temperature"]
    plain = TopK(TopKConfig(k=k, temperature=temperature))
    plain.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return plain


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    return fitted(FAMILY.bank, tmp_path_factory.mktemp("learned"))


def error(generator: TopK, family: Family) -> float:
    made = generator.sample(family.held_out, seed=0)
    pairs = zip(made, family.truth, strict=True)
    return sum(distance(a, b) / norm(b) for a, b in pairs) / len(made)


def test_untrained_it_changes_nothing() -> None:
    network = CorrectionNetwork(3, 4, CorrectionConfig())
    draw = torch.Generator().manual_seed(0)
    shapes = ((5, 3), (5, 2, 3), (5, 2, 4), (5, 2))
    seen = (torch.randn(shape, generator=draw) for shape in shapes)
    assert torch.equal(network(*seen), torch.zeros(5, 4))


def test_where_neighbours_share_a_line_it_goes_beyond_their_mean(learned: Corrected) -> None:
    assert learned.facts["share"] > 0.5
    assert learned.facts["corrected_error"] < 0.6 * learned.facts["retrieval_error"]
    assert error(learned, FAMILY) < 0.85 * error(retrieval(learned, FAMILY.bank), FAMILY)


def test_with_a_share_of_zero_it_is_retrieval(
    learned: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(learned.facts, "share", 0.0)
    plain = retrieval(learned, FAMILY.bank)
    for one, two in zip(
        learned.sample(FAMILY.held_out, seed=0), plain.sample(FAMILY.held_out, seed=0), strict=True
    ):
        assert one.digest() == two.digest()


def test_of_adapters_that_nothing_foretells_no_share_is_taken(tmp_path: Path) -> None:
    noise = [random_adapter(SPEC, seed) for seed in range(len(FAMILY.bank.tasks))]
    generator = fitted(TrainingBank(noise, FAMILY.bank.conditions, FAMILY.bank.tasks), tmp_path)
    assert generator.facts["share"] == 0
    assert generator.facts["corrected_error"] == generator.facts["retrieval_error"]


def test_the_share_is_the_best_of_a_fine_grid() -> None:
    draw = torch.Generator().manual_seed(3)
    tasks = 12
    root = torch.randn(tasks, tasks, generator=draw, dtype=torch.float64)
    products = root @ root.T
    misses = torch.randn(tasks, tasks, generator=draw, dtype=torch.float64)
    extra = -0.4 * misses + 0.05 * torch.randn(tasks, tasks, generator=draw, dtype=torch.float64)
    judged = Corrected(Corrected.Config())

    judged._judge(misses, 4 * extra, products)

    def miss(share: float) -> float:
        left = misses + share * 4 * extra
        return float(torch.sum((left @ products) * left) / products.trace())

    best = min((step / 1000 for step in range(1001)), key=miss)
    assert judged.facts["share"] == pytest.approx(best, abs=1e-3)
    assert judged.facts["corrected_error"] == pytest.approx(miss(judged.facts["share"]))
    assert judged.facts["retrieval_error"] == pytest.approx(miss(0.0))


def test_a_task_does_not_see_itself() -> None:
    around = Neighbourhood(torch.eye(4), torch.eye(4), torch.eye(4).double(), seen=8)
    apart = torch.cdist(torch.eye(4), torch.eye(4)).double() ** 2
    apart.fill_diagonal_(torch.inf)
    _, near, _, weights = around.around(torch.eye(4), apart, torch.full((4, 4), 0.25).double())
    assert near.shape == (4, 3, 4)
    assert weights.shape == (4, 3)
    for own, seen in enumerate(near):
        assert not bool((seen == torch.eye(4)[own]).all(1).any())


def test_components_are_orthonormal_and_give_the_bank_back() -> None:
    products = gram(FAMILY.bank.adapters)
    tasks = len(products)
    found = Components.of(products, 100)
    inner = found.weights.T @ products @ found.weights
    assert torch.allclose(inner, torch.eye(len(inner), dtype=torch.float64), atol=1e-6)
    again = 1 / tasks + found.unit * found.points @ found.weights.T
    misses = again - torch.eye(tasks, dtype=torch.float64)
    assert float(torch.sum((misses @ products) * misses)) < 1e-6 * float(products.trace())
