"""What the journal gives back is what was written, or an error."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlora.errors import FedloraError
from fedlora.server.journal import Answer, Journal


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    journal = Journal(file)
    for client in range(3):
        journal.record("finetune", 0, client, Answer(bytes([client]) * 3000, ""), [], None)
    journal.conclude("warm_start", 1, b"w" * 2000)
    journal.close()
    return file


def contents(file: Path) -> tuple[dict[int, bytes], bytes | None]:
    journal = Journal(file)
    try:
        frames = {c: journal.frame("finetune", 0, c) for c in journal.answers("finetune", 0)}
        return frames, journal.outcome("warm_start", 1)
    finally:
        journal.close()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.none() | st.integers(0, 7))
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_with_a_flipped_or_missing_byte_nothing_else_is_told(
    sound: Path, place: float, bit: int | None
) -> None:
    whole = sound.read_bytes()
    at = int(place * len(whole))
    with TemporaryDirectory() as folder:
        copy = Path(folder) / sound.name
        copy.write_bytes(whole)
        before = contents(copy)
        changed = b"" if bit is None else bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
        copy.write_bytes(whole[:at] + changed)
        try:
            after = contents(copy)
        except FedloraError as error:
            after, message = before, str(error)
            assert "\n" not in message
            assert str(copy) in message

    # what is missing is asked for again
    assert after[0].items() <= before[0].items()
    assert after[1] in (None, before[1])


def test_a_file_that_is_no_journal_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(FedloraError, match=r"journal.sqlite' is damaged .*delete it and resume"):
        Journal(tmp_path / "journal.sqlite")


def test_time_counts_over_processes_and_up_to_the_last_sealed_round_of_one_that_was_killed(
    tmp_path, monkeypatch
):
    clock = 100.0
    monkeypatch.setattr("fedlora.server.journal.time.perf_counter", lambda: clock)
    killed = Journal(tmp_path / "journal.sqlite")
    clock += 7
    killed.seal()
    clock += 1000
    killed.close()
    again = Journal(tmp_path / "journal.sqlite")
    clock += 2
    again.seal()
    clock += 1
    again.keep_time()
    assert again.seconds() == 10
    again.close()
