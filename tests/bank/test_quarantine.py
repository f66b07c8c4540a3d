"""What is kept out of a bank stays out, whole and with its reason, until somebody decides."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.bank import Bank, Record
from fedlora.bank.quarantine import Quarantine
from fedlora.errors import FedloraError
from tests.bank.test_bank import HOSTILE, SPEC, adapter, record, vector


def test_held_adapters_are_listed_in_order_whatever_came_first(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    for client in (2, 0, 1):
        quarantine.hold(record(client=client), adapter(client), vector(client), f"reason {client}")

    held = list(Quarantine(tmp_path / "quarantine"))

    assert [(one.record.client, one.reason) for one in held] == [
        (0, "reason 0"), (1, "reason 1"), (2, "reason 2")
    ]  # fmt: skip
    for one in held:
        assert one.adapter.digest() == adapter(one.record.client).digest()
        assert torch.equal(one.vector, vector(one.record.client))


def test_release_is_what_the_bank_would_have_had(tmp_path: Path) -> None:
    plain, bank = (Bank.open(tmp_path / n, SPEC, create=True) for n in ("plain", "bank"))
    plain.add(record(), adapter(), vector())
    quarantine = Quarantine(tmp_path / "quarantine")
    name = quarantine.hold(record(), adapter(), vector(), "odd")
    empty = bank.digest()

    assert bank.digest() == empty
    assert quarantine.release(name[:8], bank) == adapter().digest()
    assert bank.digest() == plain.digest()
    assert list(quarantine) == []


def test_what_is_released_late_gets_a_number_that_is_free(tmp_path: Path) -> None:
    bank, quarantine = Bank.open(tmp_path / "bank", SPEC, create=True), Quarantine(tmp_path / "in")
    name = quarantine.hold(record(), adapter(0), vector(), "odd")
    bank.add(record(), adapter(1), vector())
    assert quarantine.release(name, bank) == adapter(0).digest()
    assert [(r.client, r.digest) for r in bank.records()] == [
        (record().client, adapter(1).digest()), (record().client, adapter(0).digest())
    ]  # fmt: skip
    assert len({r.sample for r in bank.records()}) == 2
    assert list(quarantine) == []


def test_a_folder_in_the_place_of_a_file_can_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "abcdef.safetensors" / "inside").mkdir(parents=True)
    _, damaged = Quarantine(tmp_path).contents()
    assert "drop it" in damaged["abcdef"]
    assert Quarantine(tmp_path).drop("abc") == "abcdef"
    assert list(tmp_path.iterdir()) == []


def test_dropped_is_gone_and_twice_is_refused(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    name = quarantine.hold(record(), adapter(), vector(), "odd")
    quarantine.drop(name)

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FedloraError, match="no adapter"):
        quarantine.drop(name)
    with pytest.raises(FedloraError, match="no adapter"):
        quarantine.find("")


def test_a_beginning_that_fits_several_names_decides_nothing(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    names = [quarantine.hold(record(client=c), adapter(c), vector(), "odd") for c in range(40)]
    shared = next(n[:1] for n in names if sum(m.startswith(n[:1]) for m in names) > 1)
    with pytest.raises(FedloraError, match="adapters"):
        quarantine.drop(shared)
    assert len(list(quarantine)) == 40


def test_the_same_again_is_one_file(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    for reason in ("odd", "odder"):
        quarantine.hold(record(), adapter(), vector(), reason)
    assert [one.reason for one in quarantine] == ["odder"]


@pytest.mark.parametrize("task", HOSTILE)
def test_no_name_of_a_client_reaches_the_disk(tmp_path: Path, task: str) -> None:
    quarantine = Quarantine(tmp_path / "in")
    quarantine.hold(record(task=task), adapter(), vector(), task)

    (file,) = tmp_path.rglob("*.safetensors")
    assert file.parent == tmp_path / "in"
    assert set(file.stem) <= set("0123456789abcdef")
    assert next(iter(quarantine)).record.task == task


def test_damage_is_named_and_hides_nothing_else(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    name, other, third = (
        quarantine.hold(record(client=c), adapter(c), vector(), "odd") for c in range(3)
    )
    short, sound = (tmp_path / f"{stem}.safetensors" for stem in (name, other))
    short.write_bytes(short.read_bytes()[:-3])
    moved = sound.rename(tmp_path / f"{'0' * 64}.safetensors")

    held, damaged = quarantine.contents()
    assert [one.name for one in held] == [one.name for one in quarantine] == [third]
    assert set(damaged) == {name, moved.stem}
    assert f"has another name: call it {other}.safetensors again" in damaged[moved.stem]
    with pytest.raises(FedloraError, match=name):
        quarantine.find(name)
    assert quarantine.drop(name[:8]) == name
    assert not short.exists()


def test_what_stands_beside_an_adapter_is_checked_as_well(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    name = quarantine.hold(record(), adapter(), vector(), "odd")
    file = tmp_path / f"{name}.safetensors"
    data = bytearray(file.read_bytes())
    at = data.index(vector().numpy().tobytes())
    data[at] ^= 1
    file.write_bytes(data)
    with pytest.raises(FedloraError, match="not what was held"):
        quarantine.find(name)


def test_a_record_that_the_bank_refuses_stays(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path / "bank", replace(SPEC, alpha=1.0), create=True)
    quarantine = Quarantine(tmp_path / "quarantine")
    name = quarantine.hold(Record("t", 0, 0, 0, 3, 0, {}), adapter(), vector(), "odd")
    with pytest.raises(FedloraError, match="alpha"):
        quarantine.release(name, bank)
    assert quarantine.find(name).reason == "odd"
