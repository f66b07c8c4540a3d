"""Every side of the bench does the same federation and gets the same numbers."""

from dataclasses import replace

import pytest

from fedlora.bench.sim.claims import claims, rows
from fedlora.bench.sim.measure import TOLERANCE, Bench, Measured
from fedlora.bench.sim.process import Cost, SideProcess
from fedlora.bench.sim.sides import SIDES
from fedlora.bench.sim.workloads import SECOND, TINY_1000, Workload
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent

SMALL = Workload("six tiny clients", "tiny_vit", 6, 8, 4, warm_up=2)


def measured(sides, tmp_path, workload=SMALL):
    return Bench(tmp_path, Silent(), turns=1, rounds=1).measure(workload, sides)


@pytest.fixture
def one_thread(monkeypatch):
    for name in ("plain", "batched"):
        monkeypatch.setitem(SIDES, name, replace(SIDES[name], threads=(1,)))


def test_fedlora_and_a_plain_loop_get_the_same_adapters(tmp_path, one_thread):
    found = measured(["inprocess", "plain", "batched"], tmp_path)

    assert found["plain"].difference < 1e-6  # the same sums in the same order
    assert found["batched"].difference < TOLERANCE
    assert all(side.rate > 0 and side.cpu > 0 and side.peak > 0 for side in found.values())
    assert found["inprocess"].first[0] < found["inprocess"].ready[0]


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


def side(seconds, clients=10, difference=0.0):
    return Measured(clients, 1, [Cost(seconds, seconds)], [1.0], [2.0], 1 << 30, difference)


def test_a_side_with_other_numbers_has_no_speed():
    found = {SECOND.name: {"plain": side(10.0), "ray": side(5.0, difference=1.0)}}

    (claim,) = claims(found)

    assert (claim.id, claim.value, claim.met) == ("S1", 0.0, False)
    assert rows(found)[1]["clients a second"] is None


def test_speeds_are_compared_by_clients_whatever_a_round_holds():
    found = {
        TINY_1000.name: {"plain": side(5.0, clients=250), "ray_batched": side(8.0, clients=1000)}
    }

    (claim,) = claims(found)

    assert (claim.id, claim.value) == ("S2", 2.5)


def test_a_side_that_fails_says_why(tmp_path):
    command = ["python3", "-c", "raise SystemExit('no such thing')"]

    process = SideProcess(command, {}, tmp_path / "log")

    with pytest.raises(FedloraError, match="no such thing"):
        process.reach("ready")
