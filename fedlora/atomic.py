"""Files and folders that are there whole or not at all."""

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from fedlora.errors import FedloraError

_REMEDY = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "your disk quota is used up: free some space and run again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission denied: choose a folder that you may write to",
    errno.EPERM: "not permitted: choose a folder that you may write to",
    errno.EFBIG: "the file is larger than this system allows: raise the limit (ulimit -f)",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a part of the path is a file: choose another folder",
    errno.EISDIR: "a folder stands there: choose another name",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def check_new(path: Path, remedy: str = "name another") -> None:
    """Refuse to write over what is there.

    Raises:
        FedloraError: something is.
    """
    if path.exists():
        raise FedloraError(f"{path}: exists already; {remedy}")


def write_bytes(path: Path, data: bytes) -> None:
    """Make `path` hold exactly `data`, on the disk itself, replacing what was there.

    A reader, or a machine that loses power, sees the old file or the new one. Missing folders
    on the way are made.

    Raises:
        FedloraError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    temporary = _beside(path)
    with explained(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise FedloraError(f"cannot write '{path}': a pipe or a device: choose another name")
        _make(path.parent)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def first_bytes(path: Path, data: bytes) -> bytes:
    """Make `path` hold `data`, on the disk itself, unless it is there already: what it then holds.

    Of several processes that write at once one is the first, for all of them.

    Raises:
        FedloraError: the disk is full or the folder cannot be written to.
    """
    temporary = _beside(path)
    write_bytes(temporary, data)
    with explained(path):
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_bytes()
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
    return data


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of the text in UTF-8, its line ends as they are."""
    write_bytes(path, text.encode())


@contextmanager
def folder(path: Path, replaced: Collection[str] = ()) -> Iterator[Path]:
    """A new folder to fill, which becomes `path` when the block ends without an error.

    A folder that stood at `path` is replaced if it holds nothing but what the new one has too; on
    an error it stays, and what was written is removed. Replacing a folder takes two renames, so a
    kill between them can leave no folder at `path`, but never a half-written one.

    replaced: names of what an older folder may hold besides.

    Raises:
        FedloraError: a file stands there, or a folder that holds something else, the disk is full,
            or the folder cannot be written to.
    """
    path = Path(path)
    temporary, old = _beside(path), _beside(path)
    with explained(path):
        try:
            _make(temporary)
            yield temporary
            _check_replaceable(path, {file.name for file in temporary.iterdir()}.union(replaced))
            for file in sorted(temporary.rglob("*")):
                _sync_folder(file)
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep a folder to this process while the block runs; a killed process lets it go.

    Raises:
        FedloraError: another process works in it, or it cannot be written to.
    """
    with explained(path):
        _make(path)
        lock = (path / ".lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FedloraError(
                f"{path}: another process works in this folder; wait for it, or stop it"
            ) from None
        yield


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line; every other error passes."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        what = remedy(error)
        if what is None:
            raise
        raise FedloraError(f"cannot write '{path}': {what}") from error


def remedy(error: OSError | SafetensorError) -> str | None:
    """What is wrong and what to do; None where the operating system did not refuse."""
    return _REMEDY.get(_number(error))


def _check_replaceable(path: Path, known: Collection[str]) -> None:
    """Refuse to replace what is not an older folder of the same kind."""
    if not path.exists():
        return
    if not path.is_dir():
        raise FedloraError(f"cannot write '{path}': a file stands there: choose another name")
    if other := sorted(file.name for file in path.iterdir() if file.name not in known):
        raise FedloraError(
            f"cannot write '{path}': it holds '{other[0]}', which would be lost: choose another"
            " name, or move that away"
        )


def _make(path: Path) -> None:
    """A folder with all on the way to it; some file systems, /proc for one, take no folder."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise FedloraError(f"cannot make the folder '{path}': choose another place") from error


def _number(error: OSError | SafetensorError) -> int:
    """The errno of an error, 0 without one; safetensors gives it only in its text."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"os error (\d+)", str(error))
    return int(found.group(1)) if found else 0


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody else has."""
    if not path.name:
        raise FedloraError(f"cannot write '{path}': name a file or folder in it")
    return path.with_name(f".{path.name[:64]}.{secrets.token_hex(6)}.part")


def _sync_folder(path: Path) -> None:
    """Force a file's contents, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
