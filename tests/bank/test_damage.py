"""What happens to the bank's files never becomes a wrong answer."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bank import Bank, Record
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

SPEC = AdapterSpec(base="b" * 64, layers=(LayerSpec("q", 10, 8, 3),), alpha=6.0)

WRITER = """
import sys, torch
from pathlib import Path
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.bank import Bank, Record
folder, start = Path(sys.argv[1]), int(sys.argv[2])
spec = AdapterSpec.from_json(sys.argv[3])
bank = Bank.open(folder, spec, create=True)
for i in range(start, start + 100_000):
    draw = torch.Generator().manual_seed(i)
    adapter = LoraAdapter.from_flat(spec, torch.randn(spec.size, generator=draw))
    digest = bank.add(Record(f"task {i}", i, 0, 0, 3, i, {}), adapter, torch.ones(1000) * i)
    print(i, digest, flush=True)
"""


def fill(folder: Path, n: int = 6) -> Bank:
    bank = Bank.open(folder, SPEC, create=True)
    for i in range(n):
        record = Record(f"task {i}", i, 0, 0, 3, i, {"loss": 0.5})
        bank.add(record, random_adapter(SPEC, i), torch.ones(20) * i)
    return bank


def contents(bank: Bank) -> tuple[object, ...]:
    training = bank.training_bank()
    values = [adapter.digest() for adapter in training.adapters]
    return bank.digest(), bank.records(), values, training.conditions.tolist()


def test_every_acknowledged_adapter_outlives_a_kill(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    chance = random.Random(0)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(len(acknowledged)), SPEC.to_json()],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(chance.uniform(0.0, 0.3))
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.wait()
        acknowledged |= {int(i): d for i, d in (x.split() for x in lines if x.endswith("\n"))}

        bank = Bank.open(tmp_path)
        stored = {record.client: record.digest for record in bank.records()}
        assert acknowledged.items() <= stored.items()
        assert len(stored) <= len(acknowledged) + 1
        acknowledged = stored
        assert len(bank.training_bank().adapters) == len(stored)
    assert len(acknowledged) >= 6  # one before each kill, however slow the machine


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    fill(folder)
    return folder


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_flipped_or_missing_byte_is_refused_or_harmless(sound: Path, data: st.DataObject) -> None:
    before = contents(Bank.open(sound))
    path = data.draw(st.sampled_from(sorted(p for p in sound.rglob("*") if p.is_file())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:place]
    else:
        flipped = whole[place] ^ data.draw(st.integers(1, 255))
        damaged = whole[:place] + bytes([flipped]) + whole[place + 1 :]
    path.write_bytes(damaged)
    try:
        after = contents(Bank.open(sound))
    except FedloraError as error:
        after, message = before, str(error)
        assert "\n" not in message
        assert str(path) in message
    finally:
        path.write_bytes(whole)

    assert after == before


def test_a_missing_file_is_one_line_and_adding_again_mends_it(tmp_path: Path) -> None:
    bank = fill(tmp_path, 1)
    (stored,) = bank.records()
    adapter, vector = bank.load(stored.digest), bank.vector(stored)
    (path,) = (tmp_path / "adapters").iterdir()
    path.unlink()
    with pytest.raises(FedloraError, match=r"is damaged \(No such file.*add the adapter again"):
        bank.load(stored.digest)

    record = Record(*stored.key, stored.seed, stored.metrics)
    assert bank.add(record, adapter, vector) == stored.digest
    assert bank.load(stored.digest).digest() == stored.digest


def test_a_truncated_file_is_found_without_being_asked_for(tmp_path: Path) -> None:
    bank = fill(tmp_path, 3)
    bank.check()
    path = sorted((tmp_path / "adapters").iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(FedloraError, match=f"adapter file '{path}' is damaged"):
        bank.check()


def test_files_that_no_row_names_are_harmless(tmp_path: Path) -> None:
    before = contents(fill(tmp_path, 3))
    (tmp_path / "adapters" / f"{'0' * 64}.safetensors").write_bytes(b"orphan")
    (tmp_path / "adapters" / ".draft.part").write_bytes(b"half")

    assert contents(Bank.open(tmp_path)) == before


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_no_index_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.sqlite").write_bytes(content)
    with pytest.raises(FedloraError, match="damaged"):
        Bank.open(tmp_path, SPEC, create=True)

    assert (tmp_path / "index.sqlite").read_bytes() == content


def test_a_write_that_the_system_cuts_short_loses_nothing(tmp_path: Path) -> None:
    before = fill(tmp_path, 3).records()

    def limit() -> None:
        size = (tmp_path / "index.sqlite").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [sys.executable, "-B", "-c", WRITER, tmp_path, "10", SPEC.to_json()],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    acknowledged = len(done.stdout.splitlines())
    bank = Bank.open(tmp_path)

    assert "fedlora.errors.FedloraError" in done.stderr
    assert len(bank) == 3 + acknowledged == len(bank.training_bank().adapters)
    assert [record for record in bank.records() if record.client < 3] == before


def test_a_complaint_that_is_no_text_itself_is_one_line(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    path = tmp_path / "index.sqlite"
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE bank", b"CREATE TABL\xf2 bank"))
    with pytest.raises(FedloraError, match="damaged"):
        Bank.open(tmp_path)
