"""The methods that claim to be exact, against the dense product in float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.aggregation.contract import FOLD, Aggregator, State, effective
from fedlora.aggregation.fedex import without_head
from fedlora.config import AggregatorPart

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 24, 20, 2), LayerSpec("b", 20, 28, 2)), 4.0)
WEIGHTS = [3.0, 1.0, 2.0, 5.0]


def draw(spec: AdapterSpec, seed: int) -> LoraAdapter:
    rng = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(spec, torch.randn(spec.size, generator=rng))


def dense(adapters: list[LoraAdapter], weights: list[float], name: str) -> Tensor:
    total = sum(weights)
    out = torch.zeros((), dtype=torch.float64)
    for adapter, weight in zip(adapters, weights, strict=True):
        layer = next(x for x in adapter.spec.layers if x.name == name)
        product = adapter.up[name].double() @ adapter.down[name].double()
        out = out + weight / total * adapter.spec.scaling(layer) * product
    return out


def served(method: Aggregator, sent: list[LoraAdapter], start: LoraAdapter) -> LoraAdapter:
    state = method.aggregate(State(0, start, len(sent)), sent, WEIGHTS)
    folds = [state.extra[FOLD]] if FOLD in state.extra else []
    wide = SPEC.with_rank(16)
    return effective(method.give(state, wide), folds, wide)


def clients(method: str, start: LoraAdapter) -> list[LoraAdapter]:
    """What four clients send: a factor that the method leaves alone is the common one."""
    ranks = (2, 1, 3, 2) if method in ("flora", "flexlora") else (2, 2, 2, 2)
    sent = [draw(SPEC.with_rank(rank), 10 + i) for i, rank in enumerate(ranks)]
    if method in ("ffa", "rolora"):
        sent = [LoraAdapter(SPEC, start.down, adapter.up, {}) for adapter in sent]
    return sent


@pytest.mark.parametrize("name", ["fedex", "flora", "flexlora", "ffa", "rolora"])
def test_exact_methods_average_the_products(name: str):
    start = draw(SPEC, 1)
    sent = clients(name, start)
    result = served(AggregatorPart(name=name).build(), sent, start)
    for layer in SPEC.layers:
        expected = dense(sent, WEIGHTS, layer.name)
        own = next(x for x in result.spec.layers if x.name == layer.name)
        product = result.up[layer.name].double() @ result.down[layer.name].double()
        error = (result.spec.scaling(own) * product - expected).norm() / expected.norm()
        assert error < 1e-6


def test_averaging_factors_is_not_averaging_products():
    sent = clients("fedavg", draw(SPEC, 1))
    result = served(AggregatorPart(name="fedavg").build(), sent, draw(SPEC, 1))
    expected = dense(sent, WEIGHTS, "a")

    assert (result.delta("a") - expected).norm() / expected.norm() > 0.3


def test_each_clients_own_product_is_exact_where_its_up_stays_home():
    start = draw(SPEC, 1)
    sent = clients("fedsa", start)
    state = AggregatorPart(name="fedsa").build().aggregate(State(0, start, 4), sent, WEIGHTS)
    own = sent[0].up["a"].double()
    shares = torch.tensor(WEIGHTS, dtype=torch.float64) / sum(WEIGHTS)
    products = torch.stack([own @ adapter.down["a"].double() for adapter in sent])

    expected = torch.tensordot(shares, products, 1)
    assert torch.allclose(own @ state.common.down["a"].double(), expected, rtol=1e-5, atol=1e-6)


def test_a_head_hides_nothing_of_what_a_truncated_mean_leaves_out():
    headed = replace(SPEC, head=(("classifier.weight", (50, 50)),))
    reports = []
    for spec in (SPEC, headed):
        sent = [draw(SPEC, 10 + i) for i in range(4)]
        if spec is headed:
            head = {"classifier.weight": 10 * torch.ones(50, 50)}
            sent = [replace(one, spec=headed, head=head) for one in sent]
        method = AggregatorPart(name="product").build()
        reports.append(method.aggregate(State(0, sent[0], 4), sent, WEIGHTS).report["truncation"])

    assert reports[1] == pytest.approx(reports[0], rel=1e-4)


def test_the_truncated_mean_is_the_best_and_says_what_it_leaves_out():
    start = draw(SPEC, 1)
    sent = [draw(SPEC, 10 + i) for i in range(4)]
    state = AggregatorPart(name="product").build().aggregate(State(0, start, 4), sent, WEIGHTS)
    whole = [w / sum(WEIGHTS) for w in WEIGHTS]
    best, exact = mean_delta(sent, whole, 2), mean_delta(sent, whole, 8)

    assert distance(state.common, best) < 1e-5 * norm(best)
    left_out = distance(exact, best) / norm(exact)
    assert state.report["truncation"] == pytest.approx(left_out, rel=1e-4)


def test_padding_and_truncation_keep_the_scaling_in_the_product():
    method = AggregatorPart(name="hetlora").build()
    small = draw(SPEC.with_rank(1), 3)
    state = method.aggregate(State(0, draw(SPEC, 1), 1), [small], [1.0])

    assert torch.allclose(method.give(state, SPEC).delta("a"), small.delta("a"), atol=1e-6)
    assert torch.allclose(method.give(state, small.spec).delta("a"), small.delta("a"), atol=1e-6)


def test_norms_decide_what_a_client_counts_in_hetlora():
    big, small = draw(SPEC, 3), draw(SPEC, 4)
    method = AggregatorPart(name="hetlora").build()
    state = method.aggregate(State(0, draw(SPEC, 1), 2), [big, small], [1.0, 1.0])
    share = norm(big) / (norm(big) + norm(small))

    expected = share * big.up["a"] + (1 - share) * small.up["a"]
    assert torch.allclose(state.common.up["a"], expected, atol=1e-5)


def test_heads_do_not_decide_what_a_client_counts_in_hetlora():
    head = (("classifier.weight", (4, 8)),)
    spec = replace(SPEC, head=head)
    one, two = draw(spec, 3), draw(spec, 4)
    loud = replace(one, head={"classifier.weight": 1e3 * one.head["classifier.weight"]})
    method = AggregatorPart(name="hetlora").build()
    first = State(0, draw(spec, 1), 2)
    quiet, heard = (method.aggregate(first, [x, two], [1.0, 1.0]).common for x in (one, loud))
    share = norm(without_head(one)) / (norm(without_head(one)) + norm(without_head(two)))

    assert torch.equal(heard.up["a"], quiet.up["a"])
    assert torch.allclose(quiet.up["a"], share * one.up["a"] + (1 - share) * two.up["a"], atol=1e-5)
