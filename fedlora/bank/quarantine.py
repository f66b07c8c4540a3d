"""Adapters that were not let into a bank, each with the reason, until somebody decides."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fedlora import atomic, frame
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.bank.record import Record, with_free_sample
from fedlora.bank.store import Bank
from fedlora.errors import FedloraError

FOLDER = "quarantine"
"""The folder's name beside a bank."""

_KEY = "fedlora.quarantine"
_VECTOR = "task_vector"


@dataclass(frozen=True, eq=False)
class Held:
    """One adapter in quarantine.

    name: by which it is released or dropped.
    vector: (c,) float32, of its task, as the client says.
    """

    name: str
    record: Record
    reason: str
    adapter: LoraAdapter
    vector: Tensor


class Quarantine:
    """A folder with a file for each adapter; no name in it comes from a client."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def hold(self, record: Record, adapter: LoraAdapter, vector: Tensor, reason: str) -> str:
        """Keep an adapter out of the bank; on return it is on the disk.

        Holding the same adapter under the same record again changes at most the reason.

        Returns:
            The name by which it is released or dropped.

        Raises:
            FedloraError: the folder cannot be written to.
        """
        digest = adapter.digest()
        name = _name(record, digest)
        about = {
            "spec": adapter.spec.to_json(),
            "record": {**asdict(record), "metrics": dict(record.metrics)},
            "reason": reason,
        }
        about["sum"] = _sum(about, vector, digest)
        tensors = {**adapter.tensors(), _VECTOR: vector}
        atomic.write_bytes(self._path(name), frame.pack(tensors, _KEY, json.dumps(about)))
        return name

    def reason(self, record: Record, digest: str) -> str | None:
        """Why an adapter of this digest is held under this record; None where it is not."""
        file = self._path(_name(record, digest))
        return self._read(file).reason if file.exists() else None

    def __iter__(self) -> Iterator[Held]:
        """All that is held and can be read, by task, client, round, sample and rank."""
        return iter(self.contents()[0])

    def contents(self) -> tuple[list[Held], dict[str, str]]:
        """All that can be read, in order, and what is wrong with the other files, by name."""
        held, damaged = list[Held](), dict[str, str]()
        for file in sorted(self._folder.glob("*.safetensors")):
            try:
                held.append(self._read(file))
            except FedloraError as error:
                damaged[file.stem] = str(error)
        return sorted(held, key=lambda one: one.record.key), damaged

    def find(self, name: str) -> Held:
        """What is held under a name, or under the only one that begins so.

        Raises:
            FedloraError: there is none, or several.
        """
        return self._read(self._file(name))

    def release(self, name: str, bank: Bank) -> str:
        """Let an adapter into the bank after all.

        Where another has its number by now, it gets the next sample that is free.

        Returns:
            Its digest there.

        Raises:
            FedloraError: there is no such adapter, or the bank refuses it.
        """
        held = self.find(name)
        there = {record.key: record.digest for record in bank.records()}
        record = with_free_sample(held.record, there, held.adapter.digest())
        digest = bank.add(record, held.adapter, held.vector)
        self._path(held.name).unlink()
        return digest

    def drop(self, name: str) -> str:
        """Throw an adapter away, damaged or not.

        Returns:
            Its whole name.

        Raises:
            FedloraError: there is no such adapter.
        """
        file = self._file(name)
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()
        return file.stem

    def _file(self, name: str) -> Path:
        files = [f for f in self._folder.glob("*.safetensors") if name and f.stem.startswith(name)]
        if len(files) != 1:
            what = f"{len(files)} adapters" if files else "no adapter"
            raise FedloraError(f"{what} '{name}' in quarantine; see fedlora bank quarantine list")
        return files[0]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def _read(self, file: Path) -> Held:
        try:
            data = file.read_bytes()
            tensors, metadata = frame.unpack(data, limit=len(data))
            about = frame.read_json(metadata.get(_KEY, "{}"))
            vector = tensors.pop(_VECTOR)
            spec = AdapterSpec.from_json(about["spec"])
            record = Record(**about["record"])
            adapter = LoraAdapter.from_tensors(spec, tensors)
            digest = adapter.digest()
            if about.pop("sum") != _sum(about, vector, digest):
                raise FedloraError("it is not what was held")
            name = _name(record, digest)
        except (OSError, FedloraError, KeyError, TypeError) as error:
            raise FedloraError(
                f"'{file}' is damaged ({str(error)[:120]}): drop it, what it held is lost"
            ) from None
        if file.stem != name:
            raise FedloraError(f"'{file}' has another name: call it {name}.safetensors again")
        return Held(name, record, str(about["reason"]), adapter, vector)


def _name(record: Record, digest: str) -> str:
    identity = json.dumps([*record.key, digest])
    return hashlib.sha256(identity.encode()).hexdigest()


def _sum(about: Mapping[str, Any], vector: Tensor, adapter: str) -> str:
    """SHA-256 of all that is held, the adapter by its digest."""
    digest = hashlib.sha256(json.dumps([about, adapter], sort_keys=True).encode())
    digest.update(vector.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
