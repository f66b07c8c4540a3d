"""Robust methods against the slow, dense computation, and against clients that lie."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import select_multikrum

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.aggregation.bulyan import select
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.coordinates import by_coordinate
from fedlora.aggregation.geometric_median import weiszfeld
from fedlora.aggregation.krum_scores import krum_scores, squared_distances
from fedlora.aggregation.median import median
from fedlora.aggregation.suspects import TooFewAnswersError
from fedlora.errors import FedloraError
from tests.adapters import random_adapter, regauged

LAYERS = (LayerSpec("a", 9, 8, 2), LayerSpec("b", 8, 10, 2))
SPEC = AdapterSpec("0" * 64, LAYERS, 4.0, head=(("classifier.bias", (3,)),))
FULL = replace(SPEC, layers=tuple(replace(x, rank=8) for x in LAYERS), alpha=16.0)
ROBUST = ["bulyan", "geometric_median", "krum", "median", "multi_krum", "trimmed_mean"]
BEFORE = State(1, LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size)))


def near(count: int, spread: float = 0.1) -> list[LoraAdapter]:
    """Clients that agree but for some noise."""
    centre = random_adapter(SPEC, 99).flatten()
    return [
        LoraAdapter.from_flat(SPEC, centre + spread * random_adapter(SPEC, seed).flatten())
        for seed in range(count)
    ]


def made(name: str, **options: object) -> Aggregator:
    part = registry.find("aggregation", name)
    return part(part.Config(**options))


def merged(name: str, sent: list[LoraAdapter], **options: object) -> LoraAdapter:
    return made(name, **options).aggregate(BEFORE, sent, [1.0] * len(sent)).common


def dense(adapter: LoraAdapter) -> torch.Tensor:
    parts = [adapter.delta(layer.name).flatten() for layer in adapter.spec.layers]
    return torch.cat([*parts, adapter.head["classifier.bias"]]).double()


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("lie", ["far", "opposite", "together"])
def test_two_liars_of_eleven_do_not_move_what_nine_agree_on(name: str, lie: str):
    honest, far = near(9), random_adapter(SPEC, 5, scale=30.0)
    liars = {
        "far": [far, random_adapter(SPEC, 6, scale=20.0)],
        "opposite": [replace(a, up={n: -9 * t for n, t in a.up.items()}) for a in honest[:2]],
        "together": [far, far],
    }[lie]
    truth = merged("product", honest)

    got = merged(name, [*honest[:4], *liars, *honest[4:]])

    assert distance(got, truth) < 0.2 * norm(truth)
    # The mean is moved, or the test would show nothing.
    assert distance(merged("product", [*honest, *liars]), truth) > norm(truth)


@pytest.mark.parametrize("name", [*ROBUST, "clipped"])
def test_the_choice_of_factors_decides_nothing(name: str):
    sent = near(11)
    turned = [regauged(adapter, seed) for seed, adapter in enumerate(sent)]
    a, b = merged(name, sent), merged(name, turned)
    assert distance(a, b) < 1e-4 * norm(a)


def test_flowers_median_of_factors_depends_on_the_choice():
    sent = near(5)
    turned = [regauged(adapter, seed) for seed, adapter in enumerate(sent)]
    a, b = merged("fedmedian", sent), merged("fedmedian", turned)
    assert distance(a, b) > 0.1 * norm(a)


def test_flowers_rules_are_those_of_numpy():
    sent = near(5)
    values = torch.stack([adapter.flatten() for adapter in sent])
    assert torch.allclose(merged("fedmedian", sent).flatten(), values.median(0).values)
    trimmed = values.sort(0).values[1:4].mean(0)
    assert torch.allclose(merged("fedtrimmedavg", sent).flatten(), trimmed, atol=1e-6)


def test_rules_by_entry_are_those_of_the_dense_products():
    sent = near(7, spread=1.0)
    values = torch.stack([dense(adapter) for adapter in sent])
    before = State(1, LoraAdapter.from_flat(FULL, torch.zeros(FULL.size)))
    for name, expected in {
        "median": values.median(0).values,
        "trimmed_mean": values.sort(0).values[1:6].mean(0),
    }.items():
        state = made(name).aggregate(before, sent, [1.0] * 7)
        assert torch.allclose(dense(state.common), expected, atol=1e-4)
        assert state.report["truncation"] < 1e-6


def test_a_rule_by_entry_at_a_lower_rank_is_the_best_of_it():
    state = by_coordinate(BEFORE, near(7, spread=1.0), median)
    values = torch.stack([a.delta("a") for a in near(7, spread=1.0)]).median(0).values
    left = torch.linalg.svdvals(values)[2:].norm()
    assert float((state.common.delta("a") - values).norm()) == pytest.approx(float(left), rel=1e-3)


def test_attackers_are_counted_among_those_who_were_asked():
    """Three of fifteen asked lie; where five honest ones are silent, they are three of ten."""
    sent = [*near(7), *[random_adapter(SPEC, seed, scale=9.0) for seed in (50, 51, 52)]]
    asked = replace(BEFORE, asked=15)
    assert made("multi_krum").aggregate(asked, sent, [1.0] * 10).report["left_out"] == 3
    assert made("multi_krum").aggregate(BEFORE, sent, [1.0] * 10).report["left_out"] == 2
    # Whom screening has refused may have been honest: three may still attack.
    few = [*near(5), *sent[-3:]]
    with pytest.raises(TooFewAnswersError, match=r"bears f=3 .* n >= 2f\+3=9, and n=8"):
        made("multi_krum").aggregate(asked, few, [1.0] * 8)
    assert made("multi_krum").aggregate(asked, sent[1:], [1.0] * 9).report["left_out"] == 3
    assert "n >= 4f+3=19, not n=11" in made("bulyan", share=0.45).misfit(11)
    assert made("bulyan", share=0.2).misfit(11) is None
    with pytest.raises(TooFewAnswersError, match=r"bears f=3 .* n >= 4f\+3=15, and n=10 answers"):
        made("bulyan").aggregate(asked, sent, [1.0] * 10)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = by_coordinate(BEFORE, near(5), median)
    monkeypatch.setattr("fedlora.aggregation.coordinates.BLOCK", 100)
    assert by_coordinate(BEFORE, near(5), median).common.digest() == whole.common.digest()


@pytest.mark.parametrize("keep", [1, 4])
def test_krum_chooses_as_flower_does_on_dense_products(keep: int):
    sent = [*near(6, spread=0.5), random_adapter(SPEC, 8, scale=5.0), random_adapter(SPEC, 9)]
    contents = [
        RecordDict({"a": ArrayRecord({"v": Array(dense(adapter).numpy())})}) for adapter in sent
    ]
    theirs = select_multikrum(contents, num_malicious_nodes=2, num_nodes_to_select=keep)
    scores = krum_scores(squared_distances(sent), 2)
    ours = torch.argsort(scores)[:keep].tolist()
    assert [contents.index(content) for content in theirs] == ours


def test_multi_krum_keeps_no_more_than_may_be_honest():
    assert "at most n-f=8 are kept" in made("multi_krum", keep=9).misfit(10)
    assert made("multi_krum", keep=8).misfit(10) is None


def test_multi_krum_averages_by_weight_and_says_how_many_it_left_out():
    sent = [*near(6), random_adapter(SPEC, 8, scale=9.0)]
    state = made("multi_krum").aggregate(BEFORE, sent, [1, 2, 3, 4, 5, 6, 7])
    kept = made("product").aggregate(BEFORE, sent[:6], [1, 2, 3, 4, 5, 6]).common
    assert state.report["left_out"] == 1
    assert distance(state.common, kept) < 1e-5 * norm(kept)


def test_bulyan_selects_by_krum_one_after_another():
    sent = [*near(8, spread=1.0), *[random_adapter(SPEC, seed, scale=3.0) for seed in (50, 51, 52)]]
    points = torch.stack([dense(adapter) for adapter in sent])
    left, expected = list(range(11)), []
    while len(expected) < 7:
        scores = {}
        for at in left:
            others = [float((points[at] - points[o]).square().sum()) for o in left if o != at]
            scores[at] = sum(sorted(others)[: max(len(left) - 2 - 2, 1)])
        expected.append(min(left, key=lambda at: scores[at]))
        left.remove(expected[-1])
    assert select(squared_distances(sent), 2) == sorted(expected)


def test_the_geometric_median_has_the_least_sum_of_distances():
    sent = near(6, spread=1.0)
    points = torch.stack([dense(adapter) for adapter in sent])
    shares = torch.tensor([0.1, 0.1, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64)

    def cost(weights: torch.Tensor) -> float:
        return float((shares * (points - weights @ points).norm(dim=1)).sum())

    found = weiszfeld(points @ points.T, shares, 500)
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        near_by = found + 0.02 * torch.randn(6, generator=draw, dtype=torch.float64)
        assert cost(found) <= cost(near_by / near_by.sum()) + 1e-9
    costs = [cost(weiszfeld(points @ points.T, shares, n)) for n in (1, 2, 5, 50)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(costs))


def test_clipping_bounds_what_one_client_can_do():
    state = made("clipped", limit=1.0).aggregate(BEFORE, near(4), [1.0] * 4)
    assert norm(state.common) <= 1.0 + 1e-5
    assert state.report["clipped"] == 4
    liar = [*near(4), random_adapter(SPEC, 8, scale=100.0)]
    honest = merged("product", liar[:4])
    assert norm(merged("clipped", liar)) < 1.5 * norm(honest)


@pytest.mark.parametrize(
    ("name", "clients", "share", "needed"),
    [
        ("krum", 8, 0.4, "2f\\+3=9"),
        ("multi_krum", 4, 0.3, "2f\\+3=5"),
        ("bulyan", 10, 0.2, "4f\\+3=11"),
    ],
)
def test_a_round_too_small_for_its_suspects_is_refused(
    name: str, clients: int, share: float, needed: str
):
    with pytest.raises(FedloraError, match=f"n >= {needed}"):
        merged(name, near(clients), share=share)
