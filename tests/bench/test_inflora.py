"""From rows to claims, and the parts of the bench that are quick."""

import pytest

from fedlora.bench.inflora.bench import _best
from fedlora.bench.inflora.claims import federated_claims, stream_claims
from fedlora.bench.inflora.cost import cost
from fedlora.bench.inflora.invariants import invariants


def row(method, seed, threshold=None, beta=None, **values):
    numbers = {"within_final": 90.0, "among_final": 50.0, "within_forgetting": 1.0} | values
    place = {"family": "f", "method": method, "seed": seed, "threshold": threshold, "beta": beta}
    return place | numbers


def test_claims_are_differences_seed_by_seed():
    rows = []
    for seed in (1, 0):  # in any order
        rows += [
            row("inflora", seed, 0.9, within_final=95.0 + seed, within_forgetting=1.0),
            row("inflora", seed, 0.5, within_final=0.0),
            row("seq_lora", seed, within_forgetting=10.0),
            row("random_down", seed, within_final=93.0 + seed),
            row("complement_only", seed, 0.5, within_final=94.0),
            row("subspace_only", seed, within_final=96.0),
            row("inflora_ca", seed, 0.9, among_final=60.0),
            row("frozen_ca", seed, among_final=55.0),
        ]
    chosen = {("f", "inflora"): 0.9, ("f", "inflora_ca"): 0.9, ("f", "complement_only"): 0.5}
    claims = {claim.what: claim for claim in stream_claims(rows, chosen, ["f"])}
    ratio, random, complement, subspace, aligned = claims.values()
    assert ratio.value == pytest.approx(0.1)
    assert (random.value, random.low, random.high) == (2.0, 2.0, 2.0)
    assert complement.value == pytest.approx(1.5)
    assert subspace.value == pytest.approx(-0.5)
    assert not subspace.met
    assert aligned.value == 5.0


def test_federated_claims_are_at_every_beta():
    central = [row("inflora", seed, 0.9, within_final=95.0) for seed in (0, 1)]
    shared = [
        row(method, seed, threshold, beta, within_final=94.0, within_forgetting=forgets)
        for seed in (0, 1)
        for beta in (0.5, 0.1)
        for method, threshold, forgets in (("inflora", 0.9, 1.0), ("seq_lora", None, 4.0))
    ]
    claims = federated_claims(shared, central, "f", 0.9, (0.5, 0.1))
    assert [claim.value for claim in claims] == [1.0, -3.0, -3.0]


def test_thresholds_are_chosen_on_validation():
    rows = [
        row("inflora", 0, threshold, within_final=test) | {"validation_within_final": validation}
        for threshold, test, validation in ((0.95, 99.0, 80.0), (0.999, 10.0, 90.0))
    ]
    assert _best(rows, "f", "inflora") == 0.999


def test_invariants_hold():
    assert all(claim.met for claim in invariants())


def test_cost_is_counted():
    claims, (found,) = cost(layers=1, width=32)
    assert [claim.value for claim in claims][1] == 0
    assert found["statistics_bytes"] == 4 * 32 * 33 // 2
