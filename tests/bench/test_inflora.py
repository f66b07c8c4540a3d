"""From rows to choices and claims, and the parts of the bench that are quick."""

import math
from dataclasses import replace

import pytest

from fedlora.bench.inflora import plan
from fedlora.bench.inflora.bench import BETAS, SEEDS, TUNING_SEEDS, families_of
from fedlora.bench.inflora.claims import federated_claims, stream_claims
from fedlora.bench.inflora.cost import cost, growth
from fedlora.bench.inflora.families import DIGITS, FAMILIES, PRETRAINED, save_untrained
from fedlora.bench.inflora.invariants import invariants
from fedlora.bench.inflora.lives import Streams
from fedlora.bench.inflora.streams import Case, live
from fedlora.bench.inflora.summary import means
from fedlora.bench.kept import Kept
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent


def row(method, seed, beta=None, **values):
    numbers = {"within_final": 90.0, "among_final": 50.0, "within_forgetting": 1.0} | values
    return {"family": "f", "method": method, "seed": seed, "beta": beta} | numbers


def test_claims_are_differences_seed_by_seed():
    rows = []
    for seed in (1, 0):  # in any order
        rows += [
            row("inflora", seed, within_final=95.0 + seed, within_forgetting=1.0),
            row("seq_lora", seed, within_forgetting=10.0),
            row("random_down", seed, within_final=93.0 + seed),
            row("complement_only", seed, within_final=94.0),
            row("subspace_only", seed, within_final=96.0),
            row("inflora_ca", seed, among_final=60.0),
            row("frozen_ca", seed, among_final=55.0),
            row("inflora", seed, within_final=0.0) | {"family": "another"},
        ]
    ratio, less, random, complement, subspace, aligned = stream_claims(rows, "f")
    assert ratio.value == pytest.approx(0.1)
    assert less.value == pytest.approx(1.0 - 2.5)
    assert (random.value, random.low, random.high) == (2.0, 2.0, 2.0)
    assert complement.value == pytest.approx(1.5)
    assert subspace.value == pytest.approx(-0.5)
    assert not subspace.met
    assert aligned.value == 5.0


def test_federated_claims_are_at_every_beta():
    central = [row("inflora", seed, within_final=95.0) for seed in (0, 1)]
    shared = [
        row(method, seed, beta, within_final=94.0, within_forgetting=forgets)
        for seed in (0, 1)
        for beta in (0.5, 0.1)
        for method, forgets in (("inflora", 1.0), ("seq_lora", 4.0))
    ]
    claims = federated_claims(shared, central, "f", (0.5, 0.1))
    assert [claim.value for claim in claims] == [1.0, -3.0, -3.0]


def test_thresholds_are_chosen_on_validation_of_seeds_that_are_not_judged():
    tried = [
        {
            "method": case.label,
            "threshold": case.threshold,
            "align_rate": case.align_rate,
            "within_final": 100.0 if case.threshold == 0.95 else 0.0,
            "validation_within_final": 90.0 if case.threshold == 0.99 else 80.0,
            "validation_among_final": (case.threshold == 0.999) + (case.align_rate == 0.003),
        }
        for case in plan.tuning(DIGITS, TUNING_SEEDS)
    ]
    chosen = plan.choose(DIGITS, tried)
    assert (chosen["inflora"], chosen["complement_only"]) == ((0.99, None), (0.99, None))
    assert (chosen["inflora_ca"], chosen["seq_lora"]) == ((0.999, 0.003), (None, None))
    assert chosen["frozen_ca"] == (None, 0.003)
    cases = plan.central(DIGITS, SEEDS, chosen)
    assert {case.label: (case.threshold, case.align_rate) for case in cases} == chosen
    assert not set(SEEDS) & set(TUNING_SEEDS)


def test_a_federation_takes_as_many_steps_as_one_machine():
    case = plan.federated(PRETRAINED, (0,), {"inflora": plan.Choice(0.9)}, (0.5,))[0]
    assert case.rounds * case.family.train["epochs"] == PRETRAINED.train["epochs"]
    examples = 200  # of a task
    alone = math.ceil(examples / PRETRAINED.train["batch_size"])
    assert math.ceil(examples / case.clients / case.family.train["batch_size"]) == alone


def test_no_two_cases_share_a_name():
    cases = [
        case
        for family in FAMILIES
        for case in (
            *plan.tuning(family, TUNING_SEEDS),
            *plan.central(family, SEEDS, {e.label: plan.Choice() for e in family.methods}),
            *plan.federated(family, SEEDS, {"inflora": plan.Choice(0.9)}, BETAS),
        )
    ]
    assert len({case.name for case in cases}) == len(cases)


def test_an_unknown_family_is_answered_with_the_nearest():
    assert families_of(()) == list(FAMILIES)
    with pytest.raises(FedloraError, match="did you mean 'digits'"):
        families_of(("digit",))


SMALL = replace(
    DIGITS,
    tasks={
        "source": {"name": "digits", "size": 8},
        "classes_per_task": 5,
        "splits": {"train": 20, "validation": 10, "test": 10},
    },
    train={"epochs": 1, "batch_size": 10, "learning_rate": 0.01},
)


def test_a_stream_becomes_a_row(tmp_path):
    save_untrained(tmp_path / "7", 7)
    found = live(Case(SMALL, "mine", "inflora", 7, 0.9, clients=2), tmp_path)
    assert (found["method"], found["threshold"], found["epochs"]) == ("mine", 0.9, 1)
    assert 0 <= found["validation_within_final"] <= 100
    # Two tasks, before and after training, from two clients, of four blocks.
    assert found["statistics_bytes"] == 2 * 2 * 2 * 4 * (64 * 65 // 2) * 4
    assert found["leak"] < 1e-6


def test_what_was_lived_before_an_interruption_is_not_lived_again(tmp_path, monkeypatch):
    kept = Kept(tmp_path / "kept", dict)
    cases = [Case(SMALL, "mine", "inflora", seed, 0.9) for seed in (1, 2)]
    for case in cases:
        kept.put(case.name, {"seed": case.seed})
    with kept.clock("all of them") as tick:
        tick()
    again = Streams(tmp_path, kept, 1, Silent())
    told = again.told("all of them", cases, table="t")
    assert told == [{"table": "t", "seed": s} for s in (1, 2)]
    assert kept.earlier > 0


def test_means_are_over_the_seeds_of_a_place():
    rows = [
        row("inflora", seed, beta, within_final=90.0 + seed)
        | {"table": "t", "threshold": 0.9, "align_rate": None, "bytes": 5, "statistics_bytes": 2}
        for beta in (None, 0.5)
        for seed in (0, 2)
    ]
    alone, shared = means(rows)
    assert (alone["known"], alone["forgetting"], alone["seeds"]) == (91.0, 1.0, 2)
    assert alone["known_95"] == pytest.approx(12.706, abs=0.01)  # t of one degree, spread sqrt 2
    assert shared["beta"] == 0.5


def test_invariants_hold():
    assert all(claim.met for claim in invariants())


def test_cost_is_counted():
    claims, (little, much) = cost(layers=1, width=32)
    assert all(claim.value > 0 for claim in claims)
    assert little["statistics_bytes"] == 4 * 32 * 33 // 2
    assert little["memory"] < much["memory"]


def test_memory_of_statistics_does_not_grow_with_images():
    (claim,), rows = growth(few=512, many=1536)
    assert [row["case"] for row in rows] == [f"statistics of {n} images" for n in ("512", "1,536")]
    assert claim.value is None or claim.value < 2  # times three, if it grew
