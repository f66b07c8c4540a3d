"""What is written is there whole or not at all."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora import atomic
from fedlora.errors import FedloraError


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a" / "file.txt", "old")
    atomic.write_text(tmp_path / "a" / "file.txt", "né")

    assert (tmp_path / "a" / "file.txt").read_bytes() == "né".encode()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file.txt"]


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FedloraError, match="a pipe or a device: choose another name"):
        atomic.write_text(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_of_those_who_write_first_one_is_first(tmp_path: Path) -> None:
    assert atomic.first_bytes(tmp_path / "new" / "file", b"one") == b"one"
    assert atomic.first_bytes(tmp_path / "new" / "file", b"two") == b"one"
    assert [p.read_bytes() for p in (tmp_path / "new").iterdir()] == [b"one"]


def test_a_folder_appears_only_when_its_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with atomic.folder(target) as draft:
        (draft / "x").write_text("1")
        assert not target.exists()
    with contextlib.suppress(ZeroDivisionError), atomic.folder(target) as draft:
        (draft / "x").write_text("2")
        raise ZeroDivisionError

    assert (target / "x").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole_by_one_of_its_kind(tmp_path: Path) -> None:
    for names in ("ab", "a", "ab"):
        with atomic.folder(tmp_path / "made", replaced="b") as draft:
            for name in names:
                (draft / name).write_text(names)

        assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [*names]
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_what_somebody_else_keeps_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("1")
    (tmp_path / "notes").write_text("2")

    for name, why in (("thesis", "it holds 'chapter', which would be lost"), ("notes", "a file")):
        with (
            pytest.raises(FedloraError, match=f"cannot write '.*{name}': {why}"),
            atomic.folder(tmp_path / name) as draft,
        ):
            (draft / "x").write_text("new")

    assert (tmp_path / "thesis" / "chapter").read_text() == "1"
    assert (tmp_path / "notes").read_text() == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes", "thesis"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(FedloraError, match=r"cannot write '.*made': the disk is full") as caught,
        atomic.folder(tmp_path / "made"),
        Path("/dev/full").open("wb", buffering=0) as device,
    ):
        device.write(b"x")

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FedloraError, match="a part of the path is a file"):
        atomic.write_text(tmp_path / "file" / "inner", "x")


@pytest.mark.parametrize(
    "write",
    [
        "atomic.write_bytes(path / 'file', bytes(1_000_000))",
        "with atomic.folder(path / 'made') as d: save_file({'x': torch.zeros(250_000)}, d / 'x')",
    ],
)
def test_a_write_cut_short_leaves_what_was_there(tmp_path: Path, write: str) -> None:
    """The system refuses in the middle of a real process's write, as a full disk does."""
    (tmp_path / "file").write_bytes(b"old")
    script = (
        "import pathlib, sys, torch\n"
        "from safetensors.torch import save_file\n"
        "from fedlora import atomic\n"
        f"path = pathlib.Path(sys.argv[1])\n{write}"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-B", "-c", script, tmp_path],
        preexec_fn=limit,
        capture_output=True,
        check=False,
        text=True,
    )

    assert "FedloraError: cannot write" in done.stderr
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_kept_to_one_process_at_a_time(tmp_path):
    folder = tmp_path / "run"
    refused = pytest.raises(FedloraError, match="another process")
    with atomic.alone(folder), refused, atomic.alone(folder):
        pass
    with atomic.alone(folder):
        pass
