"""The bench of attacks: what it plans, what it counts, and what it claims of that."""

import pickle
from dataclasses import asdict
from pathlib import Path

import pytest

from fedlora import results
from fedlora.bench.trust import bench, kill_runs, tricks
from fedlora.bench.trust.bench import bench_trust
from fedlora.bench.trust.claims import accuracy_claims, fuzz_claims, run_claims, trick_claims
from fedlora.bench.trust.fuzz import fuzz, targets
from fedlora.bench.trust.fuzz_target import Target
from fedlora.bench.trust.kill_runs import interrupt_runs
from fedlora.bench.trust.kills import kill_writers
from fedlora.bench.trust.parts import Part
from fedlora.bench.trust.plan import ATTACKS, DEFENCES, PARTS, cases, config_of
from fedlora.bench.trust.tricks import play
from fedlora.errors import FedloraError
from fedlora.registry import names
from fedlora.results import Claim
from fedlora.server.observer import Silent

TARGETS = targets()
INPUTS = -(-10_000 // len(TARGETS))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_hostile_bytes_are_refused_and_nothing_else_happens(target: Target):
    found = fuzz(target, INPUTS, 0)
    assert found.crashes == []
    assert found.inputs == INPUTS
    assert found.accepted < INPUTS / 2


def test_every_codec_is_fuzzed_and_a_valid_input_is_read():
    every = TARGETS
    assert {f"codec {name}" for name in names("wire.codecs")} < {one.name for one in every}
    for target in every:
        for seed in target.seeds:
            target.read(seed)


def test_the_fuzzer_sees_a_crash():
    def careless(data: bytes) -> None:
        if len(data) != 8:
            raise ValueError("eight bytes")

    found = fuzz(Target("careless", [b"12345678"], careless), 50, 0)
    assert 0 < len(found.crashes) < 50
    row = {"target": "careless", **asdict(found), "crashes": len(found.crashes)}
    assert fuzz_claims([row])[1].value == len(found.crashes)


def test_the_fuzzer_sees_memory_that_one_input_takes_and_lets_go():
    def hungry(data: bytes) -> None:
        bytearray(100 << 20)
        raise FedloraError("refused, too late")

    bytearray(300 << 20)  # what was taken before does not hide it
    found = fuzz(Target("hungry", [b"1"], hungry), 3, 0)
    assert found.growth is None or found.growth > 90 << 20


def test_a_federation_that_came_to_no_end_is_claimed_as_such():
    facts = {"deal": "tasks", "attack": "sign_flip", "share": 0.2, "defence": "both"}
    clean = {"deal": "tasks", "attack": "none", "share": 0.0, "defence": "none"}
    rows = [
        {**clean, "seed": 0, "accuracy": 0.5, "backdoor": 0.1},
        {**facts, "seed": 0, "accuracy": 0.5, "backdoor": 0.1},
        {**facts, "seed": 1, "reason": "too few answers"},
    ]
    (claim,) = [one for one in accuracy_claims(rows) if "sign_flip" in one.what]

    assert claim.value is None
    assert "too few answers" in claim.reason


def test_a_bank_survives_its_writers(tmp_path: Path):
    survived = kill_writers(tmp_path / "bank", 5, 0)
    assert (survived.kills, survived.opened, survived.missing) == (5, 5, 0)
    assert survived.acknowledged >= 5


def test_runs_survive_kills_and_full_disks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kill_runs, "SHARES", (0.5,))
    found = interrupt_runs(tmp_path, 1, 0)
    assert (found.kills, found.opened, found.resumed) == (1, 1, 1)
    assert found.told == found.full  # both are None where no disk can be mounted
    assert all(claim.met is not False for claim in run_claims([asdict(found)])[1:])


def test_every_trick_comes_to_nothing(tmp_path: Path):
    found = play(tmp_path / "tricks")
    assert [one.trick for one in found if not one.held] == []
    count, memory = trick_claims([asdict(one) for one in found])
    assert (count.value, count.met, memory.unit) == (len(found), True, "MiB")
    (missed, _) = trick_claims([{"held": True, "growth": None}, {"held": False, "growth": 0}])
    assert missed.met is False


def test_a_trick_is_seen_to_work(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tricks, "decode", lambda data, limit: data)
    monkeypatch.setattr(tricks, "read_checkpoint", lambda path: pickle.loads(path.read_bytes()))
    lost = [one.trick for one in play(tmp_path / "tricks") if not one.held]
    assert lost == [
        "message nested without end",
        "checkpoint that runs a command",
        "checkpoint that repeats one value",
    ]


def test_a_run_that_did_not_come_back_is_a_missed_claim():
    row = {"kills": 50, "opened": 50, "resumed": 49, "full": None, "told": None}
    claims = run_claims([row])
    assert [claim.met for claim in claims] == [True, True, False, None]
    assert "root" in claims[-1].reason
    assert run_claims([row | {"full": 5, "told": 4}])[-1].met is False


def test_every_planned_federation_is_a_valid_run_of_its_own_name():
    planned = [case for part in PARTS for case in cases(part, (0, 1))]
    again = [case for case in planned if planned.count(case) > 1]
    assert {(case.attack, case.defence) for case in again} == {("none", "none")}
    assert len({case.name for case in planned}) == len(set(planned))
    for case in planned:
        config = config_of(case)
        assert (config.attackers is None) == (case.attack == "none")
        assert (config.screening.peers > 0) == (case.defence == "peers")
    assert {case.attack for case in planned} == {"none", *ATTACKS}
    assert {case.defence for case in planned} == set(DEFENCES)


def row(seed: int, attack: str, share: float, defence: str, accuracy: float) -> dict[str, object]:
    facts = {"seed": seed, "attack": attack, "share": share, "defence": defence, "deal": "tasks"}
    return {**facts, "accuracy": accuracy, "backdoor": 0.25}


def test_claims_are_differences_to_the_clean_federation_of_the_same_seed():
    rows = [
        row(0, "none", 0.0, "none", 0.80),
        row(1, "none", 0.0, "none", 0.60),
        row(0, "none", 0.0, "screening", 0.79),
        row(1, "none", 0.0, "screening", 0.60),
        row(0, "backdoor", 0.2, "none", 0.75),
        row(1, "backdoor", 0.2, "none", 0.57),
    ]
    cost, lost, success = accuracy_claims(rows)
    assert cost.value == pytest.approx(0.5)
    assert (lost.value, lost.met) == (pytest.approx(4.0), False)
    assert (success.value, success.met) == (pytest.approx(25.0), False)


def test_an_unknown_part_is_refused(tmp_path: Path):
    with pytest.raises(FedloraError, match="did you mean 'kills'"):
        bench_trust(tmp_path / "trust.json", ["kils"], Silent())


def test_a_part_measured_alone_leaves_the_others_of_the_same_code(tmp_path: Path, monkeypatch):
    def part(name: str) -> Part:
        def claims(rows):
            what = f"{name} of {len(rows)}"
            return [Claim(id="T9", what=what, value=rows[0]["value"], sense="<=", target=1.0)]

        return Part(lambda session: [{"value": values[name]}], claims)

    values = {"one": 1.0, "two": 2.0}
    monkeypatch.setattr(bench, "PARTS", {name: part(name) for name in values})
    commit = ["a" * 40]
    monkeypatch.setattr(bench, "this_commit", lambda: commit[0])
    monkeypatch.setattr(results, "this_commit", lambda: commit[0])
    out = tmp_path / "trust.json"

    def measure(*only: str, seeds: tuple[int, ...] = bench.SEEDS) -> tuple[str, list[float]]:
        made = bench_trust(out, only, Silent(), seeds)
        assert results.read(out) == made
        return made.command, [claim.value for claim in made.claims]

    assert measure("two") == ("fedlora bench trust --only two", [2.0])
    values["one"] = 0.5
    assert measure("one") == ("make bench-trust", [0.5, 2.0])
    values["two"] = 3.0
    assert measure("two") == ("make bench-trust", [0.5, 3.0])
    assert measure("one", seeds=(0,)) == ("fedlora bench trust --only one --seeds 1", [0.5])
    measure()
    commit[0] = "b" * 40
    assert measure("one") == ("fedlora bench trust --only one", [0.5])
    commit[0] = "b" * 40 + "+"  # of changed code nobody knows what it was
    measure("one")
    assert measure("two") == ("fedlora bench trust --only two", [3.0])
