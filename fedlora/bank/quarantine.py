"""Adapters that were not let into a bank, each with the reason, until somebody decides."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from fedlora import atomic, frame
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.bank.record import Record
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
        identity = json.dumps([*record.key, adapter.digest()])
        name = hashlib.sha256(identity.encode()).hexdigest()
        about = {
            "spec": adapter.spec.to_json(),
            "record": {**asdict(record), "metrics": dict(record.metrics)},
            "reason": reason,
        }
        tensors = {**adapter.tensors(), _VECTOR: vector}
        atomic.write_bytes(self._path(name), frame.pack(tensors, _KEY, json.dumps(about)))
        return name

    def __iter__(self) -> Iterator[Held]:
        """All that is held, by task, client, round, sample and rank."""
        held = [self._read(file) for file in self._folder.glob("*.safetensors")]
        return iter(sorted(held, key=lambda one: one.record.key))

    def find(self, name: str) -> Held:
        """What is held under a name, or under the only one that begins so.

        Raises:
            FedloraError: there is none, or several.
        """
        files = [f for f in self._folder.glob("*.safetensors") if name and f.stem.startswith(name)]
        if len(files) != 1:
            what = f"{len(files)} adapters" if files else "no adapter"
            raise FedloraError(f"{what} '{name}' in quarantine; see fedlora bank quarantine list")
        return self._read(files[0])

    def release(self, name: str, bank: Bank) -> str:
        """Let an adapter into the bank after all.

        Returns:
            Its digest there.

        Raises:
            FedloraError: there is no such adapter, or the bank refuses it.
        """
        held = self.find(name)
        digest = bank.add(held.record, held.adapter, held.vector)
        self._path(held.name).unlink()
        return digest

    def drop(self, name: str) -> None:
        """Throw an adapter away.

        Raises:
            FedloraError: there is no such adapter.
        """
        self._path(self.find(name).name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def _read(self, file: Path) -> Held:
        try:
            if not re.fullmatch("[0-9a-f]{64}", file.stem):
                raise FedloraError("its name is not one that a quarantine gives")
            data = file.read_bytes()
            tensors, metadata = frame.unpack(data, limit=len(data))
            about = frame.read_json(metadata.get(_KEY, "{}"))
            vector = tensors.pop(_VECTOR)
            spec = AdapterSpec.from_json(about["spec"])
            record = Record(**about["record"])
            adapter = LoraAdapter.from_tensors(spec, tensors)
            return Held(file.stem, record, str(about["reason"]), adapter, vector)
        except (OSError, FedloraError, KeyError, TypeError) as error:
            raise FedloraError(
                f"'{file}' is damaged ({str(error)[:120]}): delete it, what it held is lost"
            ) from None
