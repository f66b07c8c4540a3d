"""Task vectors, most of which say nothing of adapters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.product import distance, norm
from fedlora.errors import FedloraError
from fedlora.generators import metric as metrics
from fedlora.generators.blend import Blend
from fedlora.generators.condition import Standard
from fedlora.generators.kriging import Kriging
from fedlora.generators.topk import TopK
from tests.generators.linear_family import linear_family

FAMILY = linear_family(tasks=32, samples=1)
IDLE = 5
"""Directions, of as many features each, that have nothing to do with the task."""


def misled(conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Conditions beside others in which every feature of an idle direction moves alike."""
    rng = torch.Generator().manual_seed(seed)
    idle = torch.randn(len(conditions), IDLE, generator=rng)
    return torch.cat([conditions, idle.repeat_interleave(conditions.shape[1], dim=1)], dim=1)


BANK = replace(FAMILY.bank, conditions=misled(FAMILY.bank.conditions, 0))
ASKED = misled(FAMILY.held_out, 1)


OPEN: dict[type[Blend], dict[str, Any]] = {TopK: {}, Kriging: {"noise": None}}


def fitted(kind: type[Blend], metric: str | None) -> Blend:
    generator = kind(kind.Config.model_validate(OPEN[kind] | {"metric": metric}))
    generator.fit(BANK, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return generator


def error(generator: Blend) -> float:
    """Mean distance to the truth on tasks that are not in the bank, as a share of its norm."""
    pairs = zip(generator.sample(ASKED, seed=0), FAMILY.truth, strict=True)
    return sum(distance(made, true) / norm(true) for made, true in pairs) / len(FAMILY.truth)


@pytest.mark.parametrize("kind", [TopK, Kriging])
def test_what_says_nothing_of_adapters_is_not_listened_to(kind: type[Blend]) -> None:
    plain, weighed = fitted(kind, "plain"), fitted(kind, "learned")
    assert error(weighed) < 0.7 * error(plain)
    near, far = weighed.view(ASKED[:1]), ASKED[:1].clone()
    far[:, FAMILY.held_out.shape[1] :] += 1.0
    plain_moved = (plain.view(far) - plain.view(ASKED[:1])).norm()
    assert (weighed.view(far) - near).norm() < 0.2 * plain_moved


def noisy(conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Conditions beside many more features than there are tasks, which say nothing."""
    rng = torch.Generator().manual_seed(seed)
    return torch.cat([conditions, torch.randn(len(conditions), 400, generator=rng)], dim=1)


def squared_error(generator: Blend, asked: torch.Tensor) -> float:
    """Of DeltaW on tasks that are not in the bank, in mean squared norms of its adapters."""
    size = sum(norm(one) ** 2 for one in BANK.adapters) / len(BANK.adapters)
    pairs = zip(generator.sample(asked, seed=0), FAMILY.truth, strict=True)
    return sum(distance(made, true) ** 2 for made, true in pairs) / len(FAMILY.truth) / size


@pytest.mark.parametrize("kind", [TopK, Kriging])
@pytest.mark.parametrize("metric", ["learned", None])
@pytest.mark.parametrize("told", [1.0, 0.0])
def test_errors_are_foretold_of_tasks_that_the_metric_has_not_seen(
    kind: type[Blend], metric: str | None, told: float
) -> None:
    generator = kind(kind.Config.model_validate({"metric": metric}))
    bank = replace(BANK, conditions=noisy(told * FAMILY.bank.conditions, 2))
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    asked = noisy(told * FAMILY.held_out, 3)
    real = squared_error(generator, asked)
    assert 0.5 < generator.facts["left_out_error"] / real < 2
    if isinstance(generator, Kriging):
        assert 0.5 < float(generator.foretold_error(asked).mean()) / real < 2


@pytest.mark.parametrize("kind", [TopK, Kriging])
def test_the_better_metric_is_chosen_on_the_bank(kind: type[Blend]) -> None:
    generator = kind(kind.Config.model_validate(OPEN[kind] | {"metric": None}))
    generator.fit(BANK, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    assert generator.facts["learned"] == 1
    assert error(generator) == pytest.approx(error(fitted(kind, "learned")))


def test_what_was_learned_of_vectors_is_saved(tmp_path: Path) -> None:
    generator = fitted(Kriging, "learned")
    generator.save(tmp_path)
    again = Kriging.load(tmp_path)
    made, same = generator.sample(ASKED, seed=0), again.sample(ASKED, seed=0)
    assert [one.digest() for one in made] == [one.digest() for one in same]


def test_vectors_that_are_all_the_same_are_refused_where_they_matter() -> None:
    bank = replace(BANK, conditions=torch.ones_like(BANK.conditions))
    with pytest.raises(FedloraError, match="all task vectors of the bank are equal"):
        Kriging(Kriging.Config()).fit(
            bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None
        )


def test_adapters_that_are_all_the_same_leave_vectors_as_they_are() -> None:
    bank = replace(BANK, adapters=[BANK.adapters[0]] * len(BANK.adapters))
    generator = TopK(TopK.Config.model_validate({"metric": "learned"}))
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    assert generator.view(ASKED).shape == ASKED.shape


@pytest.mark.parametrize("kind", [TopK, Kriging])
def test_a_bank_in_which_one_vector_alone_differs_is_learned_from(kind: type[Blend]) -> None:
    vectors = torch.ones_like(BANK.conditions)
    vectors[3] += torch.arange(vectors.shape[1])
    generator = kind(kind.Config.model_validate({"metric": "learned"}))
    bank = replace(BANK, conditions=vectors)
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    assert all(bool(torch.isfinite(one.flatten()).all()) for one in generator.sample(ASKED, seed=0))


def test_metrics_that_compete_are_judged_on_the_same_parts_of_the_bank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a learned metric that learns nothing, both foresee alike, so that the first is kept."""
    monkeypatch.setattr(metrics, "learned", lambda means, _: Standard.of(means))
    for kind in (TopK, Kriging):
        both, one = fitted(kind, None), fitted(kind, "learned")
        assert not both.facts["learned"]
        assert both.facts["left_out_error"] == one.facts["left_out_error"]
