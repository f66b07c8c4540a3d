"""The generator bench: equal sides, shares by hand, and claims that follow from the rows."""

import math
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance
from fedlora.bench.generator import curves, published, quality, ranks, speed, traffic
from fedlora.bench.generator.bench import PARTS, bench_generator, family_part
from fedlora.bench.generator.copies import copies, mean_copies, shared_mistakes
from fedlora.bench.generator.families import COMPOSITION, DENSE, FAMILIES, SEEDS, SPARSE
from fedlora.bench.generator.shares import ahead, closed, has_gap
from fedlora.bench.generator.side import SHORT, Side
from fedlora.bench.generator.ways import (
    BEST,
    GROWN,
    LORA,
    LORA_LONGER,
    MIX,
    MIXED,
    OURS,
    POLICIES,
    RETRIEVED,
    RIVALS,
    way,
)
from fedlora.bench.known import within
from fedlora.errors import FedloraError
from fedlora.evaluation.table import interval
from fedlora.results import write_results
from fedlora.server.observer import Silent
from tests.adapters import random_adapter

SPEC = AdapterSpec("base", (LayerSpec("q", 6, 5, 2), LayerSpec("v", 6, 4, 2)), 4.0)
EQUAL = quality.after(RETRIEVED, GROWN)
ADOPTED = [f"{policy} at {n}" for n in DENSE.labels for policy in (OURS, EQUAL, *POLICIES)]
AFTER = [quality.after(name, way) for way in COMPOSITION.growth for name in quality.AFTER]
MADE = [*quality.PARTS, *COMPOSITION.growth, *AFTER]
TRIED = [quality.CHOSEN, *(quality.after(quality.CHOSEN, way) for way in COMPOSITION.growth)]
METHODS = [*MADE, *TRIED, *(f"{method}, shuffled" for method in MADE), *ADOPTED]


def newcomer(task: str = "a", **values: float) -> dict[str, Any]:
    reached = dict.fromkeys(METHODS, 0.2) | {"base": 0.1, "warm": 0.2, "local": 0.6} | values
    return {"task": task, "inside": True, **reached}


def case(*newcomers: dict[str, Any], points: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    cost = {"fit seconds": 1.0, "stored": 50, "up": 10.0, "down": 90.0}
    like = {"nearest": 0.8, "norm": None, "rank": 1.0}
    return {
        "newcomers": list(newcomers),
        "methods": dict.fromkeys(METHODS, cost),
        "copies": dict.fromkeys(METHODS, like),
        "errors": [{"foretold": 0.2 * n, "real": 0.1 * n} for n in range(1, 5)],
        "foreign": [place == 0 for place in range(len(newcomers))],
        "walks": {"kriging": {"longest step": 0.2, "detour": 1.5, "walks": 6}},
        "curves": points or [],
        "chosen": {"plain": "topk"},
    }


def claims_of(family: Any, cases: Any, name: str, *words: str) -> list[Any]:
    _, claims = family_part(family, cases)
    return [c for c in claims if c.id == name and all(word in c.what for word in words)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_all_sides_train_alike_on_the_same_tasks(family):
    plain = family.config(3)
    for name in family.growth:
        grown = family.config(3, name)
        assert grown.growth.generator.name == family.growth[name]["name"]
        assert plain.tasks == grown.tasks
        assert grown.finetune == plain.finetune.model_copy(update=family.after)
        assert plain.warm_start.train == grown.warm_start.train == grown.growth.train
        assert plain.warm_start.rounds == grown.warm_start.rounds + grown.growth.rounds
        assert not plain.growth.rounds


@pytest.mark.parametrize("family", [DENSE, SPARSE, COMPOSITION], ids=lambda family: family.name)
def test_every_bank_of_images_has_24_newcomers_or_more_in_range(family):
    outside = family.tasks.get("out_of_range", 0)
    names = family.config(5).tasks.build().names()
    assert len(names.held_out) * (1 - outside) >= 24
    assert not set(names.held_out) & set(names.bank)


@pytest.mark.parametrize("family", [DENSE, SPARSE, COMPOSITION], ids=lambda family: family.name)
def test_no_task_of_a_measured_bank_of_images_was_there_while_things_were_chosen(family):
    before, now = (family.config(seed).tasks.build().names() for seed in (8, SEEDS[0]))
    assert not {*before.bank, *before.held_out} & {*now.bank, *now.held_out}
    assert [len(before.bank), len(before.held_out)] == [len(now.bank), len(now.held_out)]


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


def test_a_table_tells_the_best_retrieval_and_two_that_are_named():
    rows = [newcomer("a", **{"top-16": 0.5, "top-4, sharp after grown": 0.4})]
    found, _ = family_part(DENSE, {1: case(*rows)})
    told = {row["method"] for row in found if row["table"] == "methods"}
    named = {"top-k chosen on the bank", "top-1", "top-3", "top-16", "top-4, sharp after grown"}
    assert {name for name in told if name.startswith("top-") and " at " not in name} >= named
    assert "top-8" not in told
    assert "top-8 after grown" not in told


def test_the_share_that_the_guard_calls_foreign_is_told_by_range():
    rows = [newcomer("a"), newcomer("b"), newcomer("c") | {"inside": False}]
    found, _ = family_part(DENSE, {1: case(*rows)})
    guard = {row["where"]: row for row in found if row["table"] == "guard"}
    assert (guard["inside"]["newcomers"], guard["inside"]["foreign"]) == (2, 0.5)
    assert (guard["outside"]["newcomers"], guard["outside"]["foreign"]) == (1, 0.0)


def test_the_rows_of_a_family_can_be_written(tmp_path):
    point = {"curve": "bank", "method": "kriging", "at": 8, "values": [0.35, 0.6]}
    cases = {
        seed: case(newcomer("a", kriging=0.6), newcomer("b", kriging=0.35), points=[point])
        for seed in (1, 2)
    }
    rows, claims = family_part(DENSE, cases)
    written = write_results(tmp_path / "generator.json", "generator", "x", rows, claims, [1], 1)

    (method,) = [r for r in written.rows if r.get("method") == "kriging" and "where" in r]
    assert method["gap"] == method["worst bank"] == pytest.approx(0.75)
    assert (method["tasks"], method["nearest"], method["norm"]) == (2, 0.8, None)
    (curve,) = [r for r in written.rows if r["table"] == "curve" and r["curve"] == "bank"]
    assert curve["gap"] == pytest.approx((0.25 + 0.5) / 1.0)
    labelled = {r["at"] for r in written.rows if r["table"] == "curve" and r["curve"] == "labels"}
    assert labelled == {0, *DENSE.labels}


def test_fedavg_that_never_gets_there_is_a_lower_bound():
    def point(rounds: int, value: float) -> dict[str, Any]:
        of_others = dict.fromkeys(("payload", "fit", "slowest_up", "slowest_down"), 1)
        return {"rounds": rounds, "up": 100.0, "down": 200.0, "value": value, **of_others}

    served = {1: case(newcomer(kriging=0.4)), 2: case(newcomer(kriging=0.9))}
    rivals = {seed: {"points": [point(0, 0.1), point(1, 0.5)], "bank": 100} for seed in served}
    averaged, ours, *stored = traffic.byte_claims(served, rivals, "any")

    assert averaged.value == pytest.approx(3)
    assert "1 of 2 banks never got there" in averaged.what
    assert "lower bound" not in ours.what
    assert [claim.value for claim in stored] == [0.5] * len(traffic.STORED)
    assert [row["rounds"] for row in traffic.fedavg_rows(rivals, "any")] == [0, 1]


def test_fedavg_is_counted_for_one_newcomer_beside_the_bank_on_the_disk():
    splits = {"train": 16, "validation": 2, "test": 16}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 4, "held_out": 2, "splits": splits})
    found = traffic.measure(7, replace(tiny, rounds=1))
    first, second = found["points"]
    values = 4 * 8192  # float32
    assert first["payload"] == 0 < values < second["up"] < 1.05 * values
    assert 4 * values < found["bank"] < 8 * values  # task vectors and records beside adapters


def test_known_tasks_are_compared_in_points_task_by_task():
    rows = [
        {"task": task, "method": method, "rank": 1, "accuracy": value, "generator": "cvae"}
        for task, pair in {"a": (0.52, 0.50), "b": (0.40, 0.42)}.items()
        for method, value in zip(("trained", "generated"), pair, strict=True)
    ]
    claim = within(rows, "accuracy", "any")
    assert claim.value == pytest.approx(0)
    assert claim.low < -2 < 2 < claim.high


def test_every_method_on_known_tasks_has_its_own_column_of_means():
    reached = {"base": (0.1, 0.3), "trained": (0.8, 0.9), "generated": (0.6, 0.8)}
    reached["shuffled"] = (0.3, 0.5)
    facts = {"rank": 2, "generator": "cvae", "learned from": ranks.ALL}
    rows = [
        {"task": task, "method": method, "accuracy": value, **facts}
        for method, pair in reached.items()
        for task, value in zip("ab", pair, strict=True)
    ]
    means = {"base": 0.2, "trained": 0.85, "generated": 0.7, "shuffled": 0.4}
    expected = {"table": "ranks", **facts, **means}
    assert ranks.rank_rows(rows) == [pytest.approx(expected)]


def test_few_labels_are_trained_on_as_often_as_the_whole_shard_and_once_for_as_many_steps():
    whole = {"epochs": 15, "examples": 96, "batch_size": 16}
    assert way(MIX, 32, **whole).refine_epochs == 15
    assert way(LORA_LONGER, 32, **whole).refine_epochs == 45
    assert way(LORA_LONGER, 8, **whole).refine_epochs == 90
    assert way(MIX, 128, **whole).labels == 128


def test_a_part_of_another_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(FedloraError, match="dense"):
        bench_generator(tmp_path / "x.json", Silent(), ["dens"])
    assert set(PARTS) >= {family.name for family in FAMILIES}


def test_speed_is_measured_on_a_bank_from_the_disk():
    began = time.perf_counter()
    row = speed.measure("topk", adapters=6, spec=SPEC)
    taken = time.perf_counter() - began
    assert (row["adapters"], row["values"]) == (6, SPEC.size)
    assert 0 < row["seconds"] < taken
    assert 0 < row["milliseconds"] < 2000 * taken / speed.TURNS  # a median, of TURNS in `taken`
    now = psutil.Process().memory_info().rss / 2**30
    assert 0.9 * now < row["peak GiB"] < psutil.virtual_memory().total / 2**30


def test_claims_of_speed_are_in_the_units_that_they_say():
    row = {"generator": "topk", "adapters": 6, "values": 9}
    row |= {"seconds": 120.0, "peak GiB": 1.5, "milliseconds": 7.0}
    claims = [(c.value, c.target, c.unit) for c in speed.speed_claims(row)]
    assert claims == [(2.0, 5.0, "minutes"), (1.5, 2.0, "GiB"), (7.0, 50.0, "ms")]


def test_a_tiny_bank_is_lived_with_every_method_policy_and_curve(monkeypatch):
    monkeypatch.setattr(curves, "SAMPLES", (8, 16))
    monkeypatch.setattr(curves, "FEATURES", (("pooled",), ("gradient", "inputs")))
    monkeypatch.setattr(quality, "AFTER", ("kriging", "top-3"))
    kept = ("mean", "kriging", "cvae", "top-1", "top-3")
    quick = {name: quality.PARTS[name] for name in kept}
    quick["cvae"] = {"name": "cvae", "training": {"epochs": 2}}
    monkeypatch.setattr(quality, "PARTS", quick)
    tiny = replace(
        DENSE,
        tasks={
            **DENSE.tasks,
            "bank": 6,
            "held_out": 2,
            "splits": {"train": 16, "validation": 2, "test": 16},
        },
        rounds=3,
        finetune={**DENSE.finetune, "epochs": 1},
        labels=(8, 32),
        sizes=(3, 6),
    )

    found = quality.measure(tiny, 7)

    assert len(found["newcomers"]) == 2
    expected = {"base", "warm", "local", *kept, "grown", "grown, shuffled", "top-3 after grown"}
    expected |= {"cvae, shuffled", "cvae, random"}
    adopted = {f"{policy} at 32" for policy in (*RIVALS, OURS, f"{MIXED} after grown")}
    adopted |= {f"{LORA} at 8", f"{OURS} at 8", f"{EQUAL} at 32", f"{BEST} at 32"}
    assert found["newcomers"][0].keys() >= expected | adopted | set(TRIED[:2])
    ways = ("plain", "grown")
    assert set(found["chosen"]) == {*ways, *(f"{way} with labels" for way in ways)}
    mixed = found["methods"][f"{quality.after(MIX, GROWN)} at 32"]
    given = found["methods"]["kriging"]
    assert mixed["down"] > 6 * given["down"] > 0
    assert mixed["up"] == given["up"]
    assert {(row["curve"], row["at"]) for row in found["curves"]} == {
        ("bank", 3),
        ("bank", 6),
        ("vector", 8),
        ("vector", 16),
        ("features", "pooled"),
        ("features", "gradient + inputs"),
    }
    (both, *_) = [row for row in found["curves"] if row["at"] == "gradient + inputs"]
    assert both["vector bytes"] == 4 * (256 + 14 * 14)
    assert found["copies"]["top-3"]["nearest"] > 0
    assert [row["real"] > 0 < row["foretold"] for row in found["errors"]] == [True, True]
    assert found["walks"]["top-1"] == pytest.approx({"longest step": 1, "detour": 1, "walks": 6})
    assert found["walks"]["kriging"]["longest step"] < found["walks"]["top-3"]["longest step"]
    assert found["walks"]["kriging after grown"]["walks"] == 6
    assert len(found["foreign"]) == 2
    first = found["newcomers"][0]
    assert first["kriging, guarded"] == first["top-1" if found["foreign"][0] else "kriging"]


def test_a_tiny_bank_is_trained_at_every_rank_and_generated(monkeypatch):
    monkeypatch.setitem(ranks.GENERATORS, "cvae", {"name": "cvae", "training": {"epochs": 2}})
    family = replace(DENSE, rounds=2, finetune={**DENSE.finetune, "epochs": 2})
    family = replace(
        family, tasks={**family.tasks, "splits": {"train": 16, "validation": 2, "test": 16}}
    )
    found = ranks.measure(7, family, tasks=5, ranks=(1, 2))["rows"]
    ways = (ranks.OWN, ranks.ALL, ranks.CUT)
    assert len(found) == 5 * len(ranks.METHODS) * len(ranks.GENERATORS) * len(ways) * 2
    table = {(r["generator"], r["learned from"], r["rank"]): r for r in ranks.rank_rows(found)}
    for name in ranks.GENERATORS:
        for rank in (1, 2):
            rows = [table[name, learned, rank] for learned in ways]
            assert len({row["trained"] for row in rows}) == 1
        # at the largest rank nothing is cut
        whole, same = (table[name, learned, 2]["generated"] for learned in (ranks.OWN, ranks.CUT))
        assert whole == same
    claims = [claim.what for claim in ranks.rank_claims(found)]
    assert len(set(claims)) == 2 * len(ranks.GENERATORS) * len(ranks.CLAIMED)
    assert sum("one generator of all ranks" in what for what in claims) == len(claims) / 2


def test_the_published_architecture_is_lived_beside_the_others(monkeypatch):
    quick = {name: dict(part) for name, part in published.GENERATORS.items()}
    for name in ("cvae", published.ICM):
        quick[name] |= {"training": {"epochs": 2}}
    monkeypatch.setattr(published, "GENERATORS", quick)
    splits = {"train": 16, "validation": 2, "test": 16}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 5, "held_out": 2, "splits": splits})
    tiny = replace(tiny, rounds=3, finetune={**DENSE.finetune, "epochs": 1})

    found = published.measure(7, tiny)

    icm = published.ICM
    names = {"base", "warm", "local", SHORT, *quick, f"{icm}, shuffled", f"{icm}, prior's mean"}
    assert found["newcomers"][0].keys() == names | {"task", "inside"}
    assert found["methods"].keys() == {"local", *quick}
    assert all(0 < row["shared mistakes"] <= 1 for row in found["methods"].values())
    cost, mean = found["methods"][icm], found["methods"]["mean"]
    assert cost["fit seconds"] > mean["fit seconds"] > 0
    assert cost["stored"] > mean["stored"] > 5 * found["adapter"]


def test_mistakes_are_shared_with_the_nearest_of_the_bank(tmp_path):
    splits = {"train": 16, "validation": 2, "test": 24}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 4, "held_out": 2, "splits": splits})
    side = Side(replace(tiny, rounds=1).config(7), tmp_path)
    one, bank = side.newcomers[0].seat.client, side.bank.adapters
    own, theirs = side.mistakes(one, bank[0]), side.mistakes(one, bank[1])
    assert float(own.double().mean()) == pytest.approx(1 - side.value(one, bank[0]))
    assert bool((own != theirs).any())

    assert shared_mistakes(side, [bank[0], bank[3]]) == 1  # a lookup
    near = LoraAdapter.from_flat(bank[0].spec, 0.6 * bank[0].flatten())  # still nearest to it
    wrong = side.mistakes(one, near)
    expected = int((wrong & own).sum()) / int((wrong | own).sum())
    assert shared_mistakes(side, [near, bank[3]]) == pytest.approx((expected + 1) / 2)


def test_the_published_architecture_has_a_row_a_method_and_claims_of_a_draw_and_of_the_mean():
    calm = f"{published.ICM}, prior's mean"
    values = {"cvae": 0.5, published.ICM: 0.3, calm: 0.4, "mean": 0.35}
    rows = [newcomer(task, **values) for task in "ab"]
    costs = {"cvae": {"fit seconds": 2.0, "stored": 30}}
    cases = {seed: {"newcomers": rows, "methods": costs, "adapter": 8} for seed in (1, 2)}

    ahead_of_it, of_its_mean, beyond_mean, _ = published.published_claims(DENSE, cases)
    table = {row["method"]: row for row in published.published_rows(DENSE, cases)}

    assert (ahead_of_it.id, ahead_of_it.value, ahead_of_it.met) == ("G2", pytest.approx(0.4), True)
    assert of_its_mean.value == pytest.approx(0.2)
    assert (beyond_mean.value, beyond_mean.met) == (pytest.approx(-0.1), False)
    assert (table["cvae"]["gap"], table["cvae"]["fit seconds"]) == (pytest.approx(0.8), 2.0)
    assert (table["local"]["stored"], table["local"]["adapter"]) == (None, 8)
    flat = {1: {**cases[1], "newcomers": [newcomer(local=0.11)]}}
    assert published.published_rows(DENSE, flat) == published.published_claims(DENSE, flat) == []


def test_a_copy_is_told_from_what_is_as_new_as_the_bank():
    bank = [random_adapter(SPEC, seed) for seed in range(6)]
    new = [random_adapter(SPEC, 9)]
    half = [LoraAdapter.from_flat(SPEC, bank[0].flatten() / 2**0.5)]

    (found,) = copies(bank, {"lookup": [bank[2]], "new": new, "half": half}, [bank[0]])

    assert found["lookup"]["nearest"] == pytest.approx(0, abs=1e-5)
    own = [min(distance(a, b) for b in bank if b is not a) for a in bank]
    nearest = min(distance(new[0], one) for one in bank)
    assert found["new"]["nearest"] == pytest.approx(nearest / (sum(own) / 6))
    assert found["half"]["norm"] == pytest.approx(0.5)
    assert found["half"]["rank"] == pytest.approx(1.0)


def test_shares_of_a_trained_adapter_that_changes_nothing_are_none():
    zero = LoraAdapter.from_flat(SPEC, torch.zeros(SPEC.size))
    bank = [random_adapter(SPEC, seed) for seed in range(3)]
    found = copies(bank, {"any": [bank[0], bank[1]]}, [zero, bank[1]])
    assert found[0]["any"]["norm"] is None
    assert found[0]["any"]["rank"] is None
    assert mean_copies(found)["any"]["norm"] == pytest.approx(1)
