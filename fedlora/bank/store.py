"""The bank: every adapter the server has accepted, and nothing it has not."""

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedlora import atomic, frame
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.place import check_place
from fedlora.bank.index import Index
from fedlora.bank.record import Record, StoredRecord
from fedlora.errors import FedloraError
from fedlora.generators.contract import TrainingBank

_SPEC = "fedlora.spec"


class Bank:
    """A folder: `index.sqlite`, and `adapters/DIGEST.safetensors`, one file for equal adapters.

    It only grows. An adapter's file is on the disk before the row that names it, so a kill at
    any instant leaves every acknowledged adapter, none by half, and at worst a file that no row
    names. All adapters are of one base model, layers, scaling and head; their ranks may differ.
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.spec = index.spec
        self._index = index

    @classmethod
    def open(cls, folder: Path, spec: AdapterSpec | None = None, *, create: bool = False) -> "Bank":
        """The bank in a folder; with `create`, a new one where there is none.

        Args:
            folder: the bank's own folder.
            spec: what its adapters must be, up to rank; needed to create it, checked otherwise.
            create: make it if it is not there.

        Raises:
            FedloraError: there is no bank, it is damaged, or it is of another spec.
        """
        path = Path(folder) / "index.sqlite"
        if path.exists():
            bank = cls(Path(folder), Index(path))
            if spec is not None:
                check_place(spec, bank.spec)
            return bank
        if not create or spec is None:
            raise FedloraError(f"no bank in '{folder}': check the path, or fill one by a run")
        return cls(Path(folder), Index.create(path, spec))

    def __len__(self) -> int:
        return len(self.records())

    def add(self, record: Record, adapter: LoraAdapter, vector: Tensor) -> str:
        """Keep an adapter and its task's vector (c,) float32; on return both are on the disk.

        Adding the same adapter under the same record again changes nothing.

        Returns:
            The adapter's digest, by which `load` finds it.

        Raises:
            FedloraError: the adapter is malformed or of another place than the bank's, its rank
                is not the record's, the vector is malformed or of another size, or the record
                holds another adapter.
        """
        check_place(adapter.spec, self.spec)
        adapter = LoraAdapter.from_tensors(adapter.spec, adapter.tensors())
        self.check_rank(record, adapter)
        digest = adapter.digest()
        with self._index.adding(record, digest, _vector_bytes(vector)):
            path = self._path(digest)
            if not path.exists():
                atomic.write_bytes(
                    path, frame.pack(adapter.tensors(), _SPEC, adapter.spec.to_json())
                )
        return digest

    @staticmethod
    def check_rank(record: Record, adapter: LoraAdapter) -> None:
        """Refuse a record of another rank than its adapter's.

        Raises:
            FedloraError: it is.
        """
        rank = max(layer.rank for layer in adapter.spec.layers)
        if record.rank != rank:
            raise FedloraError(
                f"adapter of rank {rank} under a record of rank {record.rank}: write {rank} there"
            )

    def check_vector(self, vector: Tensor) -> None:
        """Refuse a task vector that cannot stand beside those of the bank.

        Raises:
            FedloraError: it is malformed, or of another size.
        """
        self._index.check_width(_vector_bytes(vector))

    def records(self) -> list[StoredRecord]:
        """Every record by task, client, round, sample and rank, in whatever order they came."""
        return [record for record, _ in self._index.rows()]

    def check(self) -> None:
        """Read every adapter once.

        Raises:
            FedloraError: one is damaged or missing; the message names its file.
        """
        for digest in {record.digest: None for record in self.records()}:
            self.load(digest)

    def load(self, digest: str) -> LoraAdapter:
        """The adapter of a digest, its values checked against it.

        Raises:
            FedloraError: there is no such adapter, or its file is damaged.
        """
        path = self._path(digest)
        try:
            data = path.read_bytes()
            tensors, metadata = frame.unpack(data, limit=len(data))
            spec = AdapterSpec.from_json(metadata.get(_SPEC, ""))
            check_place(spec, self.spec)
            adapter = LoraAdapter.from_tensors(spec, tensors)
            if adapter.digest() != digest:
                raise FedloraError("its values have changed")
        except (OSError, FedloraError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise FedloraError(
                f"adapter file '{path}' is damaged ({reason}): restore it from a copy, or delete"
                " it and add the adapter again; a run asks its clients again once its bank and"
                " checkpoints folders are deleted"
            ) from None
        return adapter

    def vector(self, record: Record) -> Tensor:
        """The task vector (c,) float32 beside one adapter.

        Raises:
            FedloraError: there is no such record.
        """
        return _vector(self._index.vector(record))

    def training_bank(
        self, rounds: Collection[int] | None = None, rank: int | None = None
    ) -> TrainingBank:
        """Everything a generator learns from, in the order of `records`.

        Args:
            rounds: only the adapters of these rounds; all when None.
            rank: only the adapters of this rank; all when None.

        Raises:
            FedloraError: the bank is empty, without such a rank, or damaged.
        """
        rows = [
            (record, vector)
            for record, vector in self._index.rows()
            if (rounds is None or record.round in rounds) and rank in (None, record.rank)
        ]
        if rank is not None and not rows and len(self):
            held = sorted({record.rank for record in self.records()})
            raise FedloraError(
                f"no adapter of rank {rank} to learn from: the bank holds"
                f" {', '.join(map(str, held))}"
            )
        known = {digest: self.load(digest) for digest in {record.digest for record, _ in rows}}
        return TrainingBank(
            adapters=[known[record.digest] for record, _ in rows],
            conditions=torch.stack([_vector(v) for _, v in rows]) if rows else torch.empty(0, 0),
            tasks=[record.task for record, _ in rows],
            clients=[record.client for record, _ in rows],
        )

    def digest(self, rounds: Collection[int] | None = None) -> str:
        """SHA-256 of all that the bank holds, or of these rounds, in whatever order it came."""
        digest = hashlib.sha256()
        for record, vector in self._index.rows():
            if rounds is not None and record.round not in rounds:
                continue
            line = [*record.key, record.digest, hashlib.sha256(vector).hexdigest()]
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()

    def _path(self, digest: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise FedloraError(f"{digest!a:.80} is not the digest of an adapter")
        return self.folder / "adapters" / f"{digest}.safetensors"


def _vector_bytes(vector: Tensor) -> bytes:
    """A vector (c,) float32 as 4 c bytes, little-endian."""
    if vector.ndim != 1 or len(vector) == 0 or vector.dtype != torch.float32:
        raise FedloraError(
            f"task vector of {tuple(vector.shape)} {vector.dtype}, not (c,) torch.float32"
        )
    if not bool(torch.isfinite(vector).all()):
        raise FedloraError("task vector holds NaN or infinity")
    return vector.detach().cpu().numpy().astype("<f4").tobytes()


def _vector(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float32))
