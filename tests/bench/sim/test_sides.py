"""Every side of the bench does the same federation and gets the same numbers."""

import math
from dataclasses import replace

import pytest
import torch

from fedlora.bench.sim.claims import claims, rows
from fedlora.bench.sim.measure import Bench, apart
from fedlora.bench.sim.measured import TOLERANCE, Measured
from fedlora.bench.sim.outcome import Outcome
from fedlora.bench.sim.plan import PLAN
from fedlora.bench.sim.process import Cost, SideProcess
from fedlora.bench.sim.running import COMPARED
from fedlora.bench.sim.side import check_kept
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import COLD, GPU, SECOND, STARTS, TINY_1000, TOP, Workload
from fedlora.errors import FedloraError
from fedlora.finetune.state_store import StateStore
from fedlora.server.observer import Silent

SMALL = Workload("six tiny clients", "tiny_vit", 6, 8, 4, warm_up=2)


def measured(sides, tmp_path, workload=SMALL):
    return Bench(tmp_path, Silent(), rounds=1).measure(workload, sides)


def test_fedlora_and_a_plain_loop_get_the_same_adapters(tmp_path):
    found = measured(["inprocess", "plain", "batched"], tmp_path)

    assert found["plain"].difference < 1e-6  # the same sums in the same order
    assert found["batched"].difference < TOLERANCE
    assert all(side.rate > 0 and side.cpu > 0 and side.peak > 0 for side in found.values())
    assert found["inprocess"].first[0] < found["inprocess"].ready[0]


def test_a_slice_that_is_drawn_is_compared_client_by_client(tmp_path):
    drawn = replace(SMALL, clients=7, warm_up=0, slices={"inprocess": 3}, spread=True)
    assert drawn.chosen(3) != [0, 1, 2]
    assert set(drawn.chosen(3)) < set(drawn.chosen(5)) < set(drawn.chosen(7)) == set(range(7))

    found = measured(["inprocess", "batched"], tmp_path, drawn)

    assert (found["inprocess"].clients, found["batched"].clients) == (3, 7)
    assert (found["batched"].compared, found["batched"].beyond) == (3, 0)
    assert found["batched"].difference < TOLERANCE


def test_the_slices_of_ten_thousand_reach_all_of_them():
    numbers = COLD[1].chosen(COLD[1].timed("inprocess"))

    assert len(numbers) == 500 <= COMPARED
    assert sum(number >= 5000 for number in numbers) > 200


def test_a_start_is_measured_anew_in_every_turn(tmp_path):
    start = replace(SMALL, warm_up=1, slices={"*": 1}, turns=2, restarts=True)

    found = Bench(tmp_path, Silent(), rounds=2).measure(start, ["inprocess"])

    assert len(found["inprocess"].first) == len(found["inprocess"].rounds) == 2


def test_a_cache_without_room_for_all_clients_is_an_error(tmp_path):
    roomy, narrow, none = (StateStore(size, 0, tmp_path) for size in (80, 40, 0))
    for number in range(2):
        for store in (roomy, narrow):
            store.keep(number, torch.zeros(10))

    check_kept(roomy, [0, 1])
    check_kept(none, [0, 1])
    with pytest.raises(FedloraError, match="states of 1 of its clients"):
        check_kept(narrow, [0, 1])


@pytest.mark.slow
def test_auto_and_ray_get_the_same_adapters(tmp_path):
    found = measured(["plain", "auto", "ray", "ray_batched"], tmp_path)

    assert max(side.difference for side in found.values()) < TOLERANCE


@pytest.mark.slow
def test_flower_gets_the_same_adapters(tmp_path):
    two = replace(SMALL, slices={"*": 2})

    found = measured(["plain", "flower_stock", "flower_cached"], tmp_path, two)

    assert max(side.difference for side in found.values()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.skipif(not SIDES["pfl"].available, reason="simulations/peers/install_pfl.sh not run")
def test_pfl_research_gets_the_same_adapters(tmp_path):
    found = measured(["plain", "pfl"], tmp_path)

    assert found["pfl"].difference < TOLERANCE


def side(seconds, clients=10, difference=0.0, cpu=None):
    rounds = [Cost(seconds, cpu or seconds)]
    return Measured(clients, 1, rounds, [1.0], [2.0], 1 << 30, difference)


def claimed(outcome, group, code):
    return [claim for claim in claims(outcome, [group]) if claim.id == code]


def test_a_side_with_other_numbers_has_no_speed():
    found = {SECOND.name: {"plain": side(10.0), "ray": side(5.0, difference=1.0)}}

    (claim,) = claimed(Outcome(found=found), "minilm_10", "S1")

    assert (claim.value, claim.met) == (0.0, False)
    assert rows(Outcome(found=found))[1]["clients a second"] is None


def test_speeds_are_compared_by_clients_whatever_a_round_holds():
    found = {
        TINY_1000.name: {"plain": side(5.0, clients=250), "ray_batched": side(8.0, clients=1000)}
    }

    assert claimed(Outcome(found=found), "tiny_1000", "S2")[0].value == 2.5


def test_two_sides_of_one_thread_are_compared_by_what_they_used_of_it():
    sides = {"inprocess": side(20.0, cpu=8.0), "auto": side(30.0, cpu=4.0)}

    claim, _ = claimed(Outcome(found={TINY_1000.name: sides}), "tiny_1000", "S3")

    assert claim.value == 2.0
    assert "processor time" in claim.what


@pytest.mark.parametrize(("batched", "value"), [(2.0, 0.5), (16.0, 2.0)])
def test_auto_is_held_against_the_better_of_what_it_chooses_from(batched: float, value: float):
    sides = {"inprocess": side(8.0), "batched": side(batched), "auto": side(4.0)}
    sides["auto"].rounds[:0] = [Cost(99.0, 99.0), Cost(4.0, 4.0)]  # it is judged by what it found

    _, claim = claimed(Outcome(found={TINY_1000.name: sides}), "tiny_1000", "S3")

    assert claim.value == value
    assert "the better of batched and one by one" in claim.what


def test_a_start_is_the_median_of_those_of_its_model():
    found = {one.name: {"inprocess": side(1.0)} for one in STARTS}
    found[STARTS[1].name]["inprocess"].first = [9.0, 1.0, 3.0, 2.0, 4.0]

    starts = [c for c in claimed(Outcome(found=found), "starts", "S6") if "Ray" not in c.what]

    assert [claim.value for claim in starts] == [1.0, 3.0, 1.0]
    assert [claim.what.split(",")[0] for claim in starts] == ["tiny ViT", "minilm", "SmolLM2"]


def test_on_a_card_processor_time_says_nothing():
    sides = {"inprocess": side(20.0, cpu=2.0), "batched": side(2.0, cpu=2.0)}

    many = next(workload for workload in GPU if workload.clients == 64)

    (claim, *_) = claimed(Outcome(found={many.name: sides}), "gpu", "S7")

    assert claim.value == 10.0


def test_a_claim_that_could_not_be_measured_says_why():
    sides = {"ray_batched": side(8.0), "plain": side(5.0, difference=1.0), "pfl": side(9.0)}
    failures = {f"{TINY_1000.name}: flower_stock": "no room"}

    sides["plain"].compared, sides["plain"].beyond = 500, 3
    plain, pfl, cached, stock = claimed(
        Outcome(found={TINY_1000.name: sides}, failures=failures), "tiny_1000", "S2"
    )

    assert [claim.value for claim in (plain, cached, stock)] == [None] * 3
    assert [claim.met for claim in (plain, cached, stock)] == [None] * 3
    assert "not the reference's: 3 of 500 clients" in plain.reason
    assert "interrupted" in cached.reason
    assert "no room" in stock.reason
    assert pfl.value == pytest.approx(9 / 8)


def test_a_round_of_ten_thousand_with_other_numbers_meets_nothing():
    sides = {"ray_batched": side(8.0, difference=1.0), "batched": side(8.0)}
    for one in sides.values():
        one.compared, one.beyond = 500, 0 if one.same else 2

    found = claimed(Outcome(found={COLD[1].name: sides}), "tiny_10000", "S5")

    assert all("of 500 drawn" in claim.what for claim in found[::4])
    assert [claim.value for claim in found if "Ray" in claim.what] == [2.0, None, None, None]
    assert [claim.value for claim in found if "Ray" not in claim.what] == [0.0, 10.0, 1.0, None]
    assert [claim.met for claim in found] == [True, True, True, None, False, None, None, None]


def test_what_clients_add_to_the_memory_is_told_in_their_adapters():
    few, many = side(8.0, clients=6000), side(8.0, clients=10000)
    few.peak, many.peak, many.adapter = 1 << 30, (1 << 30) + 4000 * 3000, 2000
    outcome = Outcome(found={COLD[0].name: {"batched": few}, COLD[1].name: {"batched": many}})

    (claim,) = [one for one in claimed(outcome, "tiny_10000", "S5") if one.value is not None
                and one.unit == "adapters"]  # fmt: skip

    assert claim.value == 1.5


def test_what_auto_tries_counts_and_so_does_what_a_cache_records():
    auto, one = side(1.0, cpu=5.0), side(1.0, cpu=5.0)
    auto.warm, one.warm = [(4, Cost(9.0, 9.0))], [(4, Cost(2.0, 2.0))]
    outcome = Outcome(found={SECOND.name: {"auto": auto, "inprocess": one}})
    (claim,) = claimed(outcome, "minilm_10", "S3")
    assert claim.value == pytest.approx(7 / 14)

    cached, plain = side(1.0, cpu=4.0), side(1.0, cpu=5.0)
    cached.rounds += [Cost(1.0, 2.0)] * 4
    top = Outcome(found={TOP.name: {"cached": cached, "inprocess": plain}})
    recording, later = claimed(top, "cache", "S4")
    assert (recording.value, later.value) == (pytest.approx(1.25), pytest.approx(2.5))


def test_replies_that_are_not_numbers_or_not_there_are_not_the_same():
    start, one = torch.zeros(2).double(), torch.ones(2).double()
    expected = {0: one, 1: one}
    assert apart({0: one, 1: 1.5 * one}, expected, start) == pytest.approx([0.0, 0.5])
    assert apart({0: one, 1: one * math.nan}, expected, start) == [0.0, math.inf]
    assert apart({0: one, 2: one}, expected, start) == [0.0, math.inf]
    assert apart({}, expected, start) == [math.inf]
    assert apart({0: one}, expected, start) == [0.0]


def test_every_group_promises_something_or_is_a_table_alone():
    promising = {group for group in PLAN if claims(Outcome(), [group])}
    assert set(PLAN) - promising == {"bf16"}
    assert {claim.id for claim in claims(Outcome(), list(PLAN))} == {f"S{n}" for n in range(1, 9)}


@pytest.mark.parametrize("ends", ["at once", "never"])
def test_a_side_that_ends_or_hangs_between_two_rounds_costs_itself_alone(
    tmp_path, monkeypatch, ends
):
    waits = "" if ends == "at once" else "; time.sleep(600)"
    said = f"import time; print('@ready', flush=True){waits}"
    process = SideProcess(["python3", "-c", said], {}, tmp_path / "log")
    process.reach("ready")
    monkeypatch.setattr("fedlora.bench.sim.process.PATIENCE", 1.0)

    with pytest.raises(FedloraError, match="before it said 'done'"):
        process.round()


def test_a_side_that_fails_says_why(tmp_path):
    command = ["python3", "-c", "raise SystemExit('no such thing')"]

    process = SideProcess(command, {}, tmp_path / "log")

    with pytest.raises(FedloraError, match="no such thing"):
        process.reach("ready")
