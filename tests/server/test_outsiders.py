"""What is brought to a bank by hand is judged as what clients send."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.adapter.resize import resize
from fedlora.bank import IMPORTED, Arrival, Bank, Record
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.errors import FedloraError
from fedlora.server.outsiders import let_in
from tests.adapters import regauged
from tests.conftest import small_config
from tests.server.test_vetting import EVERYONE, SPEC, changed

ADAPTERS = [resize(one.read()[0], SPEC) for one in EVERYONE]
LOUD = resize(changed(EVERYONE[7], 60.0), SPEC)


def arrivals(adapters=ADAPTERS, first: int = 0, name: str = "task") -> list[Arrival]:
    return [
        Arrival(
            Record(f"{name} {at}", IMPORTED, 0, 0, 2, 0, {}),
            EVERYONE[at].vector,
            adapter.digest(),
            lambda adapter=adapter: adapter,
        )
        for at, adapter in enumerate(adapters, first)
    ]


def bank_of(folder: Path) -> Bank:
    return Bank.open(folder / "bank", SPEC, create=True)


def test_one_that_stands_out_waits_in_quarantine_and_the_others_are_in(tmp_path: Path):
    bank = bank_of(tmp_path)
    came = arrivals([*ADAPTERS[:7], LOUD, *ADAPTERS[8:]])

    reasons = let_in(small_config(), tmp_path, bank, came)

    assert [at for at, reason in enumerate(reasons) if reason] == [7]
    assert "norm of its change" in reasons[7]
    assert {r.digest for r in bank.records()} == {one.digest for one in came} - {LOUD.digest()}
    (held,) = Quarantine(tmp_path / FOLDER)
    assert held.adapter.digest() == LOUD.digest()


def test_a_single_one_is_judged_beside_the_bank_and_nothing_twice(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    assert let_in(config, tmp_path, bank, arrivals(ADAPTERS[:19])) == [""] * 19
    before = bank.digest()
    assert let_in(config, tmp_path, bank, arrivals(ADAPTERS[:19])) == [""] * 19
    (reason,) = let_in(config, tmp_path, bank, arrivals([LOUD], first=19))
    assert reason
    assert bank.digest() == before
    assert let_in(config, tmp_path, bank, arrivals(ADAPTERS[19:], first=19)) == [""]
    assert len(bank) == 20


def test_a_crowd_of_strangers_does_not_decide_what_is_usual(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    let_in(config, tmp_path, bank, arrivals(ADAPTERS[:12]))
    loud = [resize(changed(EVERYONE[at], 60.0 + at), SPEC) for at in range(len(EVERYONE))]

    assert all(let_in(config, tmp_path, bank, arrivals(loud, name="other")))
    assert len(bank) == 12


def test_who_comes_first_with_what_is_bearable_does_not_make_room_for_more(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    let_in(config, tmp_path, bank, arrivals(ADAPTERS[:12]))
    times = [*[2.5] * 12, *[12.0] * 4]
    larger = [resize(changed(EVERYONE[at], size), SPEC) for at, size in enumerate(times)]
    reasons = let_in(config, tmp_path, bank, arrivals(larger, name="other"))
    assert not any(reasons[:12])
    assert all(reasons[12:])


def test_a_crowd_is_judged_beside_as_many_as_were_imported_whatever_their_task(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    known = [
        replace(one, record=replace(one.record, task="one", sample=at))
        for at, one in enumerate(arrivals(ADAPTERS[:12]))
    ]
    assert let_in(config, tmp_path, bank, known) == [""] * 12
    crowd = [resize(changed(EVERYONE[at], 40.0 + at), SPEC) for at in range(20)]
    assert all(let_in(config, tmp_path, bank, arrivals(crowd, name="stranger")))


def test_a_copy_is_found_however_many_come_between(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    let_in(config, tmp_path, bank, arrivals(ADAPTERS[:12]))
    came = [*ADAPTERS[12:19], regauged(ADAPTERS[12], 3)]
    reasons = let_in(config, tmp_path, bank, arrivals(came, first=12))
    assert reasons == [*[""] * 7, "it is a copy of another client's adapter"]


def test_who_waits_in_quarantine_is_not_let_in_by_coming_again(tmp_path: Path):
    bank, config = bank_of(tmp_path), small_config()
    came = arrivals([*ADAPTERS[:7], LOUD, *ADAPTERS[8:]])
    let_in(config, tmp_path, bank, came)
    reasons = let_in(small_config(screening={"enabled": False}), tmp_path, bank, came)
    assert [at for at, reason in enumerate(reasons) if reason] == [7]
    assert len(bank) == 19


def test_a_file_that_changes_while_it_is_judged_is_refused(tmp_path: Path):
    bank = bank_of(tmp_path)
    (one,) = arrivals(ADAPTERS[:1])
    changed_since = Arrival(one.record, one.vector, one.digest, lambda: ADAPTERS[1])
    with pytest.raises(FedloraError, match=r"'task 0', .*: its file has changed: import it again"):
        let_in(small_config(), tmp_path, bank, [changed_since])
    assert len(bank) == 0


def test_of_files_of_one_task_the_odd_one_waits_alone(tmp_path: Path):
    bank = bank_of(tmp_path)
    let_in(small_config(), tmp_path, bank, arrivals())
    files = [
        Arrival(
            Record("task 0", IMPORTED, 0, number, 2, 0, {}),
            EVERYONE[0].vector,
            adapter.digest(),
            lambda adapter=adapter: adapter,
        )
        for number, adapter in enumerate([resize(changed(EVERYONE[0], 1.2), SPEC), LOUD], 1)
    ]
    reasons = let_in(small_config(), tmp_path, bank, files)
    assert [bool(reason) for reason in reasons] == [False, True]


def test_without_screening_all_come_in(tmp_path: Path):
    bank = bank_of(tmp_path)
    config = small_config(screening={"enabled": False})
    assert not any(let_in(config, tmp_path, bank, arrivals([*ADAPTERS[:19], LOUD])))
    assert len(bank) == 20


def test_a_record_that_lies_about_a_rank_is_refused_before_anything_is_added(tmp_path: Path):
    bank, came = bank_of(tmp_path), arrivals(ADAPTERS[:3])
    came[2] = replace(came[2], record=replace(came[2].record, rank=99))
    with pytest.raises(FedloraError, match="rank 2 under a record of rank 99: write 2 there"):
        let_in(small_config(), tmp_path, bank, came)
    assert len(bank) == 0


def test_what_no_bank_holds_is_refused_before_anything_is_added(tmp_path: Path):
    bank, sound = bank_of(tmp_path), arrivals(ADAPTERS[:2])
    huge = arrivals([resize(changed(EVERYONE[2], 1e6), SPEC)], first=2)
    with pytest.raises(FedloraError, match=r"'task 2', .*rounds\.max_norm"):
        let_in(small_config(), tmp_path, bank, [*sound, *huge])
    wide = Arrival(huge[0].record, torch.ones(4), "0" * 64, sound[0].read)
    with pytest.raises(FedloraError, match=r"'task 2', 0+: a task vector of 4 values, unlike"):
        let_in(small_config(), tmp_path, bank, [*sound, wide])
    twice = Arrival(sound[0].record, sound[0].vector, "0" * 64, sound[1].read)
    with pytest.raises(FedloraError, match=r"'task 0', 0+: another adapter of the same number"):
        let_in(small_config(), tmp_path, bank, [*sound, twice])
    bad = Arrival(huge[0].record, torch.full((3,), float("nan")), "0" * 64, huge[0].read)
    with pytest.raises(FedloraError, match=r"'task 2', 0+: task vector holds NaN"):
        let_in(small_config(), tmp_path, bank, [*sound, bad])
    assert len(bank) == 0
