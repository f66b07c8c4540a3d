"""Shares by hand, and claims that follow from the rows."""

import math

import pytest
import torch

from fedlora.bench.generator.bench import family_part
from fedlora.bench.generator.families import COMPOSITION, DENSE, SPARSE
from fedlora.bench.generator.shares import ahead, closed, has_gap
from fedlora.bench.generator.ways import (
    OURS,
    RIVALS,
)
from fedlora.bench.known import within
from fedlora.evaluation.table import interval
from tests.bench.generator.made import EQUAL, TRIED, case, claims_of, newcomer


def test_a_share_is_a_ratio_of_means_in_which_every_task_counts_by_its_gap():
    rows = [
        newcomer("a", base=0.1, local=0.9, kriging=0.5),
        newcomer("b", base=0.5, local=0.5, kriging=0.6),  # a gap of nothing is no division by it
    ]
    assert closed(rows, "kriging") == pytest.approx((0.4 + 0.1) / 0.8)
    assert closed(rows, "local") == pytest.approx(1)
    assert closed(rows, "base") == pytest.approx(0)
    assert ahead(rows, "local", "base") == pytest.approx([1, 1])


def test_the_spread_of_a_share_is_that_of_its_ratio():
    drawn = torch.Generator().manual_seed(0)
    gaps = 0.3 + 0.1 * torch.randn(40, generator=drawn)
    gains = 0.5 * gaps + 0.05 * torch.randn(40, generator=drawn)
    rows = [
        newcomer(f"{i}", base=0.0, local=float(gap), kriging=float(gain))
        for i, (gap, gain) in enumerate(zip(gaps, gains, strict=True))
    ]
    index = torch.randint(40, (4000, 40), generator=drawn)
    ratios = gains[index].mean(1) / gaps[index].mean(1)

    found = interval(ahead(rows, "kriging", "base"))

    assert found.mean == pytest.approx(float(gains.mean() / gaps.mean()), abs=1e-6)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * float(ratios.std()), rel=0.1)


def test_banks_that_drew_the_same_task_are_one_task():
    rows = [newcomer("a", kriging=0.3), newcomer("a", kriging=0.5), newcomer("b", kriging=0.4)]
    assert len(ahead(rows, "kriging", "base")) == 2
    assert closed(rows, "kriging") == pytest.approx(0.6)


def test_retrieval_is_chosen_in_hindsight_and_compared_in_pairs():
    better = {"top-2": 0.4, "top-3": 0.35}
    rows = [newcomer("a", **better, grown=0.5), newcomer("b", **better, grown=0.45)]
    beyond, surely, *_ = claims_of(COMPOSITION, {1: case(*rows)}, "G2", ": grown beyond")

    assert "top-2" in beyond.what
    assert (surely.value, surely.target, surely.surely) == (beyond.value, 0.0, True)
    assert beyond.value == pytest.approx(0.15)
    assert beyond.low < 0.15 < beyond.high


def test_what_is_learned_after_growth_is_compared_with_retrieval_from_the_same_bank_too():
    values = {"top-2": 0.4, "kriging after grown": 0.5, "top-4 after grown": 0.45}
    rows = [newcomer("a", **values), newcomer("b", **values)]
    found = claims_of(COMPOSITION, {1: case(*rows)}, "G2", "kriging after grown beyond")
    plain, same = (claim for claim in found if not claim.surely)
    assert ("top-2, the best" in plain.what, plain.value) == (True, pytest.approx(0.2))
    assert ("top-4 after grown" in same.what, same.value) == (True, pytest.approx(0.1))


def test_a_family_without_a_gap_claims_nothing():
    flat = case(newcomer(local=0.11), newcomer("b", local=0.11))
    assert not has_gap(flat["newcomers"])
    assert family_part(COMPOSITION, {1: flat})[1] == []


def test_newcomers_outside_the_range_have_their_own_claim():
    rows = [newcomer("a", kriging=0.6), newcomer("b", kriging=0.35) | {"inside": False}]
    inside, outside, *_ = claims_of(SPARSE, {1: case(*rows)}, "G1", "kriging")
    assert (inside.value, outside.value) == (pytest.approx(1), pytest.approx(0.5))
    assert (inside.target, outside.target) == (SPARSE.target, 0)
    margins = [c.value for c in claims_of(SPARSE, {1: case(*rows)}, "G2", ": kriging beyond")]
    assert margins == pytest.approx([0.8, 0.8, 0.3, 0.3])


def test_labels_are_judged_against_every_rival_and_against_the_whole_shard():
    values = {f"{OURS} at 32": 0.5, f"{OURS} at 128": 0.6, f"{RIVALS[0]} at 32": 0.3}
    claims = claims_of(DENSE, {1: case(newcomer("a", **values), newcomer("b", **values))}, "G4")

    found = {claim.what.partition(": ")[2]: claim.value for claim in claims}
    assert len(claims) == 2 * len((*RIVALS, EQUAL)) + 2 * 2 + 1 + 2
    assert found[f"{OURS} beyond no labels, {TRIED[1]}"] == pytest.approx(0.8)  # at 128
    assert (claims[0].value, claims[0].target) == (pytest.approx(0.4), 0.0)
    assert (claims[1].value, claims[1].target) == (pytest.approx(0.4), -0.01)
    assert found[f"{OURS} beyond {EQUAL}"] == pytest.approx(0.6)
    assert found[f"{OURS} beyond local training on the whole shard of 160"] == pytest.approx(0)


def test_a_generator_that_does_not_listen_misses_its_claim():
    deaf = {"kriging": 0.5, "kriging, shuffled": 0.5, "mean": 0.2}
    rows = [newcomer("a", **deaf), newcomer("b", **deaf)]
    shuffled, new, *_ = claims_of(DENSE, {1: case(*rows)}, "G5", "kriging")
    assert shuffled.value == pytest.approx(0.6)
    assert not shuffled.met
    assert new.value == pytest.approx(0.8)


def test_what_kriging_foretells_of_its_errors_is_set_beside_them():
    ratio, same, order = claims_of(DENSE, {1: case(newcomer("a"), newcomer("b"))}, "G8")
    assert (ratio.value, ratio.target, same.target) == (pytest.approx(2), 0.5, 2.0)
    assert order.value == pytest.approx(0.999)
    assert order.low == pytest.approx(math.tanh(math.atanh(0.999) - 1.96 * math.sqrt(1.06)))


def test_known_tasks_are_compared_in_points_task_by_task():
    rows = [
        {"task": task, "method": method, "rank": 1, "accuracy": value, "generator": "cvae"}
        for task, pair in {"a": (0.52, 0.50), "b": (0.40, 0.42)}.items()
        for method, value in zip(("trained", "generated"), pair, strict=True)
    ]
    claim = within(rows, "accuracy", "any")
    assert claim.value == pytest.approx(0)
    assert claim.low < -2 < 2 < claim.high
