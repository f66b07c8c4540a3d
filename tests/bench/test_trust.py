"""The bench of attacks: what it plans, what it counts, and what it claims of that."""

import pickle
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fedlora.bank import Bank
from fedlora.bank.quarantine import FOLDER
from fedlora.bench.processes import measured
from fedlora.bench.trust import audit, full_disks, fuzz_bank, guided, kill_runs, tricks
from fedlora.bench.trust.audit import Audited, counted, explained, unexplained, unhashed
from fedlora.bench.trust.bench import bench_trust
from fedlora.bench.trust.claims import (
    accuracy_claims,
    audit_claims,
    fuzz_claims,
    kill_claims,
    run_claims,
    trick_claims,
)
from fedlora.bench.trust.full_disks import fill_disks
from fedlora.bench.trust.fuzz import fuzz, targets
from fedlora.bench.trust.fuzz_target import Target
from fedlora.bench.trust.kill_runs import interrupt_runs
from fedlora.bench.trust.kills import kill_writers
from fedlora.bench.trust.lives import live
from fedlora.bench.trust.plan import ATTACKS, BOMBS, DEFENCES, PARTS, Case, cases, config_of
from fedlora.bench.trust.shared_answers import origin_of
from fedlora.bench.trust.tables import attack_table, privacy_table
from fedlora.bench.trust.tricks import play
from fedlora.config.parts import AggregatorPart
from fedlora.errors import FedloraError
from fedlora.registry import names
from fedlora.server.observer import Silent

TARGETS = targets()
INPUTS = -(-10_000 // len(TARGETS))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_hostile_bytes_are_refused_and_nothing_else_happens(target: Target):
    found = fuzz(target, INPUTS, 0)
    assert found.crashes == []
    assert found.inputs == INPUTS
    assert found.accepted < INPUTS / 2
    assert not found.changed
    assert found.slowest < 1.0
    assert found.growth is None or found.growth < 64 << 20


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


def test_a_bank_that_refuses_and_changes_is_seen(monkeypatch):
    def careless(bank: Bank, folder: Path) -> None:
        record = fuzz_bank._record((folder / "record.json").read_bytes().hex()[:900])
        bank.add(record, fuzz_bank.ADAPTER, torch.ones(3))
        raise FedloraError("refused, too late")

    def rows() -> list[dict[str, object]]:
        (target,) = [one for one in fuzz_bank.bank_targets() if one.name == "import, record.json"]
        found = fuzz(target, 20, 0)
        return [{"target": target.name, **asdict(found), "crashes": len(found.crashes)}]

    sound = fuzz_claims(rows())[-1]
    assert (sound.value, sound.met) == (sound.target, True)
    monkeypatch.setattr(fuzz_bank, "peft_arrivals", careless)
    broken = fuzz_claims(rows())[-1]
    assert broken.met is False
    assert broken.target == 20


def test_an_import_of_every_file_and_a_quarantine_are_fuzzed():
    guarded = {one.name for one in TARGETS if one.state is not None}
    assert guarded == {f"import, {name}" for name in fuzz_bank.FILES}
    others = {"quarantine", "plain adapter", "flattened adapter", "head of a request", "public key"}
    assert others < {one.name for one in TARGETS}


def hungry(data: bytes) -> None:
    bytearray(100 << 20)
    raise FedloraError("refused, too late")


def growths(tries: int) -> list[int | None]:
    bytearray(300 << 20)  # what was taken before does not hide it
    return [fuzz(Target("hungry", [b"1"], hungry), 3, 0).growth for _ in range(tries)]


def test_the_fuzzer_sees_memory_that_one_input_takes_and_lets_go():
    # In a process of its own, and not each time: a kernel that takes idle pages back meanwhile
    # makes a process look smaller, and the tests' own has many.
    ((_, found),) = measured(growths, [4], 1)
    assert None in found or max(found) > 90 << 20


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


def test_what_atheris_says_is_counted_and_a_dead_reader_is_a_missed_claim(tmp_path, monkeypatch):
    script = tmp_path / "fuzz.py"
    script.write_text(
        "import sys\n"
        "if sys.argv[1] == 'spec': sys.exit('ValueError: 7 is no rank\\nSUMMARY: libFuzzer')\n"
        "print(f'Done {sys.argv[3]} runs in 0 second(s)', file=sys.stderr)\n"
    )
    monkeypatch.setattr(guided, "SCRIPT", script)
    monkeypatch.setattr(guided, "PYTHON", tmp_path / "none")
    assert all("not installed" in c.reason for c in guided.guided_claims(guided.guided(["a"], 1)))

    monkeypatch.setattr(guided, "PYTHON", Path(sys.executable))
    rows = guided.guided(["message", "spec", "ledger"], 2, 60_000)
    assert [row["died"] for row in rows] == ["", "ValueError: 7 is no rank", ""]
    inputs, died = guided.guided_claims(rows)
    assert (inputs.value, inputs.met, died.value, died.met) == (120_000, True, 1, False)


def test_a_bank_survives_its_writers(tmp_path: Path):
    survived = kill_writers(tmp_path / "bank", 5, 0)
    assert (survived.kills, survived.opened, survived.missing) == (5, 5, 0)
    assert survived.acknowledged >= 5


def test_runs_survive_kills_and_full_disks(tmp_path: Path, monkeypatch):
    def until_there_is_a_bank(_seconds: float) -> None:
        while not any(tmp_path.glob("run-*/bank/index.sqlite")):
            time.sleep(0.001)

    clock = SimpleNamespace(perf_counter=time.perf_counter, sleep=until_there_is_a_bank)
    monkeypatch.setattr(kill_runs, "SHARES", (0.5,))
    monkeypatch.setattr(kill_runs, "time", clock)
    found = interrupt_runs(tmp_path, 1, 0)
    assert (found.kills, found.begun, found.opened, found.resumed) == (1, 1, 1, 1)
    assert found.verdicts >= 9  # two attackers: in two rounds, at the bank, in quarantine; trimming
    assert found.told == found.full  # both are None where no disk can be mounted
    assert all(claim.met is not False for claim in run_claims([asdict(found)])[1:])


def test_what_a_killed_writer_leaves_is_no_verdict(tmp_path: Path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "held.safetensors").touch()
    (tmp_path / "lost.jsonl").write_text('{"phase": "finetune", "client": 3}\n')
    (tmp_path / "metrics.jsonl").write_text('{"phase": "trimming"}\n{"phase": "adopt"}\n')
    (tmp_path / "facts.json").write_text('{"fingerprint": {"bank": "b"}}')
    before = kill_runs._outcome(tmp_path)
    assert len(before[1]) == 3
    (tmp_path / FOLDER / ".held.safetensors.0123.part").touch()
    assert kill_runs._outcome(tmp_path) == before


def test_a_bank_survives_full_disks(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(full_disks, "ROOMS", full_disks.ROOMS[::8])
    found = fill_disks(tmp_path / "sound")
    assert found.held == found.full  # both are None where no disk can be mounted
    killed = {"kills": 200, "opened": 200, "acknowledged": 400, "missing": 0}
    claim = kill_claims([killed | asdict(found)])[-1]
    assert claim.met is (None if found.full is None else True)
    assert kill_claims([killed | {"full": 4, "held": 3}])[-1].met is False


def test_a_bank_that_loses_what_it_acknowledged_on_a_full_disk_is_seen(tmp_path: Path, monkeypatch):
    class Careless(Bank):
        def add(self, record, adapter, vector):
            try:
                return super().add(record, adapter, vector)
            except FedloraError:
                self.lost = getattr(self, "lost", 0) + 1
                if self.lost > 1:
                    raise
                return adapter.digest()

    monkeypatch.setattr(full_disks, "ROOMS", full_disks.ROOMS[:1])
    monkeypatch.setattr(full_disks, "Bank", Careless)
    found = fill_disks(tmp_path / "careless")
    assert found.held in (0, None)


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
    row = {"kills": 50, "begun": 40, "opened": 40, "resumed": 49, "verdicts": 9}
    row |= {"full": None, "told": None}
    claims = run_claims([row])
    assert [claim.met for claim in claims] == [True, True, True, False, None]
    assert "root" in claims[-1].reason
    assert run_claims([row | {"full": 5, "told": 4}])[-1].met is False
    assert run_claims([row | {"opened": 39}])[2].met is False
    assert run_claims([row | {"verdicts": 0}])[1].met is False


def test_findings_are_explained_by_kind_and_place():
    table = "| finding | where | why |\n| B1, no kind | | |\n"
    table += "| B704 and B314, markup | `report/canvas.py`, `cli/` | its own |\n"
    findings = ["B314 report/canvas.py:3", "B704 cli/a/b.py:1", "B704 report/page.py:9"]
    assert unexplained([*findings, "B608 cli/a.py:1"], explained(table)) == [
        "B704 report/page.py:9",
        "B608 cli/a.py:1",
    ]


def test_a_requirement_without_a_hash_is_found():
    lock = "# a comment\na==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\nb==2\n"
    assert unhashed(lock) == ["b==2"]


def test_the_audit_of_this_checkout_holds(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(audit, "_advisories", lambda root: None)  # asks the internet
    made = bench_trust(tmp_path / "trust.json", ["audit"], Silent())
    found = made.rows[0]
    assert found["unexplained"] in (0, None)
    assert [claim.met for claim in made.claims] == [
        None if found["findings"] is None else True,
        True,
        None,
    ]


def test_what_tools_say_is_counted_and_what_they_do_not_say_has_a_reason(tmp_path, monkeypatch):
    for name in ("SECURITY.md", "requirements.lock"):
        (tmp_path / name).write_text("")
    answers = {
        "bandit": {
            "results": [{"test_id": "B608", "filename": "fedlora/a/b.py", "line_number": 7}],
            "errors": [{"filename": "fedlora/c.py", "reason": "syntax error"}],
        },
        "pip_audit": {
            "dependencies": [
                {"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]},
                {"name": "b", "version": "2", "vulns": []},
            ]
        },
    }
    monkeypatch.setattr(audit, "_asked", lambda root, tool, *words: answers[tool])
    found = audit.audit(tmp_path)
    findings = ["B608 a/b.py:7", "unread c.py:0"]
    assert found == Audited(findings, findings, [], ["a 1: CVE-1"])
    assert [claim.value for claim in audit_claims([counted(found)])] == [2, 0, 1]

    answers.update(bandit=None, pip_audit=None)
    claims = audit_claims([counted(audit.audit(tmp_path))])
    assert [claim.value for claim in claims] == [None, 0, None]
    with pytest.raises(FedloraError, match="checkout"):
        audit.audit(tmp_path / "nowhere")


def test_every_planned_federation_is_a_valid_run_of_its_own_name():
    planned = [case for part in PARTS for case in cases(part, (0, 1))]
    assert len({case.name for case in planned}) == len(planned)
    for case in planned:
        config = config_of(case)
        assert (config.attackers is None) == (case.attack == "none")
        assert (config.screening.peers > 0) == (case.defence == "peers")
    assert {case.attack for case in planned} == {"none", *ATTACKS}
    assert {case.defence for case in planned} == set(DEFENCES)
    grid = {(case.attack, case.defence) for case in cases("attacks", (0,))}
    assert grid == set(product({"none", *ATTACKS} - set(BOMBS), DEFENCES))
    assert {options["name"] for options in ATTACKS.values()} == set(names("attacks"))


def test_answers_are_shared_by_all_defences_of_an_attack_and_by_nobody_else():
    planned = [case for case in cases("attacks", (0, 1)) if case.attack in ("none", "lie")]
    origins = {origin_of(config_of(case), case.seed) for case in planned}
    assert len(origins) == 4  # two seeds of each
    one = config_of(planned[0])
    options = {"name": "rolora"}
    method = one.warm_start.model_copy(update={"aggregation": AggregatorPart(**options)})
    other = one.model_copy(update={"warm_start": method})
    assert origin_of(other, 0) not in origins


def test_federations_that_share_answers_come_to_what_they_come_to_alone(tmp_path: Path):
    together, deep = tmp_path / "together", Case("lie", 0.2, "in depth", "tasks", 0)
    first = live(Case("lie", 0.2, "none", "tasks", 0), together)
    asked = len(list(together.iterdir()))
    found = live(deep, together)

    alone = live(deep, tmp_path / "alone")

    assert found == alone
    assert found["accuracy"] != first["accuracy"]
    shared_ones = asked + len(list((tmp_path / "alone").iterdir())) - len(list(together.iterdir()))
    assert shared_ones > 0


def row(seed: int, attack: str, share: float, defence: str, accuracy: float) -> dict[str, object]:
    facts = {"seed": seed, "attack": attack, "share": share, "defence": defence, "deal": "tasks"}
    counted = {"attackers": 4, "kept_out": 3, "honest_kept_out": 1}
    return {**facts, "accuracy": accuracy, "backdoor": 0.25, **counted}


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


def test_nothing_is_claimed_against_what_does_no_harm_or_by_more_than_a_fifth():
    rows = [
        row(0, "none", 0.0, "none", 0.80),
        row(0, "sign_flip", 0.1, "none", 0.60),
        row(0, "sign_flip", 0.1, "screening", 0.75),
        row(0, "backdoor", 0.2, "none", 0.79),
        row(0, "backdoor", 0.2, "screening", 0.70),
        row(0, "sign_flip", 0.4, "none", 0.30),
    ]
    claims = {claim.what: claim for claim in accuracy_claims(rows)}

    assert not any("40%" in what for what in claims)
    assert claims["points newcomers lose: 10% sign_flip, defence screening (tasks)"].value == 5.0
    harmless = claims["points newcomers lose: 20% backdoor, defence screening (tasks)"]
    assert harmless.value is None
    assert "1.0 points without defences" in harmless.reason
    # The backdoor succeeds, though it costs nothing.
    success = claims["success of the backdoor: 20% backdoor, defence screening (tasks)"]
    assert (success.value, success.met) == (25.0, False)


def test_tables_are_means_over_seeds_and_count_a_shared_federation_once():
    rows = [
        *[row(seed, "none", 0.0, "none", 0.8 - 0.1 * seed) for seed in (0, 1)],
        *[row(seed, "lie", 0.2, "both", 0.7) for seed in (0, 1, 0, 1)],
        {
            "seed": 0,
            "attack": "lie",
            "share": 0.2,
            "defence": "peers",
            "deal": "tasks",
            "reason": "",
        },
    ]
    peace, attacked, early = attack_table(rows)
    assert (early["accuracy"], early["seeds"], early["ended"]) == (None, 0, 1)
    assert (peace["lost"], peace["seeds"]) == (0.0, 2)
    assert attacked["defence"] == "both"
    assert (attacked["lost"], attacked["seeds"]) == (pytest.approx(5.0), 2)
    assert attacked["low"] < 5 < attacked["high"]
    assert (attacked["caught"], attacked["wronged"], attacked["backdoor"]) == (3, 1, 25.0)
    assert "success" not in attacked

    told = {"family": "text", "base": 0.25, "membership": 0.6}
    lived = ((None, None, 0.9), (8.0, 16.0, 0.5), (8.0, 16.0, 0.7))
    plain, budget = privacy_table(
        [told | {"epsilon": e, "together": both, "accuracy": a} for e, both, a in lived]
    )
    assert (plain["epsilon"], plain["seeds"], plain["image"]) == ("none", 1, None)
    assert (plain["together"], budget["together"]) == (None, 16.0)
    assert (budget["accuracy"], budget["membership"]) == (pytest.approx(60.0), pytest.approx(0.6))


def test_an_unknown_part_is_refused(tmp_path: Path):
    with pytest.raises(FedloraError, match="did you mean 'kills'"):
        bench_trust(tmp_path / "trust.json", ["kils"], Silent())
