"""The bank as PEFT folders, out and in again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from fedlora import atomic, foreign, frame
from fedlora.adapter import peft_folder
from fedlora.adapter.place import check_place
from fedlora.bank.arrival import Arrival
from fedlora.bank.naming import folder_name
from fedlora.bank.record import IMPORTED, Record, StoredRecord, with_free_sample
from fedlora.bank.store import Bank
from fedlora.errors import FedloraError

_Key = tuple[str, int, int, int, int]

_RECORD = "record.json"
_VECTOR = "task_vector.safetensors"


def export_peft(
    bank: Bank, folder: Path, base_model_name_or_path: str, task_type: str | None = None
) -> list[Path]:
    """One PEFT folder for each record, with the record and its task vector beside it.

    Args:
        bank: the bank.
        folder: where the folders go; those of the same records are replaced.
        base_model_name_or_path: what `from_pretrained` takes to load the base model.
        task_type: PEFT's name of the task; None for image classification.

    Returns:
        The folders, in the order of the records.

    Raises:
        FedloraError: the bank is damaged, or a folder cannot be written.
    """
    paths = []
    for stored in bank.records():
        path = Path(folder) / record_folder(stored)
        fields = {name: value for name, value in asdict(stored).items() if name != "digest"}
        vector = frame.pack({"vector": bank.vector(stored)}, "format", "pt")
        with atomic.folder(path) as draft:
            adapter = bank.load(stored.digest)
            peft_folder.save(adapter, draft, base_model_name_or_path, task_type, card_facts(stored))
            (draft / _RECORD).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
            (draft / _VECTOR).write_bytes(vector)
        paths.append(path)
    return paths


def peft_folders(folder: Path) -> list[Path]:
    """An adapter's folder, or those in a folder of such folders, in the order of their names."""
    folder = Path(folder)
    if (folder / peft_folder.CONFIG).exists():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{peft_folder.CONFIG}"))


def peft_arrivals(
    bank: Bank, folder: Path, record: Record | None = None, vector: Tensor | None = None
) -> list[Arrival]:
    """What `export_peft` wrote, or one adapter of plain PEFT, on its way into a bank.

    Args:
        bank: where to.
        folder: an adapter's folder, or a folder of such folders.
        record: where the adapter comes from; needed for one of plain PEFT.
        vector: the task vector (c,) of its task; needed for one of plain PEFT.

    A record that the bank holds with another adapter, as banks of two runs do, is to go in as one
    of client IMPORTED. One of plain PEFT that its task has already comes as what it is there.

    Returns:
        One a folder, in the order of their names; those already in the bank included.

    Raises:
        FedloraError: a folder holds no adapter, one of another base model, or no record or
            vector.
    """
    paths = peft_folders(folder)
    if not paths:
        raise FedloraError(f"no adapter in '{folder}': name a PEFT folder, or a folder of them")
    if len(paths) > 1 and (record is not None or vector is not None):
        raise FedloraError(f"'{folder}' holds {len(paths)} adapters, but one record was given")
    arrivals, known = list[Arrival](), bank.records()
    taken = {stored.key: stored.digest for stored in known}
    for path in paths:
        read = partial(peft_folder.load, path, bank.spec.base)
        adapter = read()
        check_place(adapter.spec, bank.spec)
        digest = adapter.digest()
        same = [s for s in known if record and (s.task, s.digest) == (record.task, digest)]
        if same:
            given, its = Record(*same[0].key, same[0].seed, same[0].metrics), bank.vector(same[0])
        else:
            given = _beside(taken, record or _read_record(path), digest)
            its = _read_vector(path) if vector is None else vector
        taken[given.key] = digest
        arrivals.append(Arrival(given, its, digest, read))
    return arrivals


def _beside(held: Mapping[_Key, str], record: Record, digest: str) -> Record:
    """The record; where it holds another adapter, whose client is of another run, one of its own.

    That is IMPORTED's next sample of the task, or the one under which the adapter came before.
    """
    if held.get(record.key, digest) == digest:
        return record
    return with_free_sample(replace(record, client=IMPORTED, sample=0), held, digest)


def record_folder(record: StoredRecord) -> str:
    """A readable name that ends in the adapter's digest; equal values of two tasks have two."""
    place = f"client{record.client}-round{record.round}-sample{record.sample}"
    return f"{folder_name(record.task)}-{place}-{record.digest[:12]}"


def card_facts(record: StoredRecord) -> str:
    """What a model card says of a record: task, origin and scores."""
    facts = [
        f"Task: {' '.join(record.task.split())}.",
        f"Sample {record.sample} of client {record.client} in round {record.round},"
        f" seed {record.seed}.",
        *(f"{name}: {value:g}." for name, value in sorted(record.metrics.items())),
    ]
    return "\n\n".join(facts)


def _read_record(folder: Path) -> Record:
    path = folder / _RECORD
    try:
        return Record(**frame.read_json(foreign.read_text(path)))
    except FileNotFoundError:
        raise FedloraError(
            f"adapter folder '{folder}' has no {_RECORD}: say its task and task vector"
        ) from None
    except (OSError, UnicodeDecodeError, TypeError, FedloraError) as error:
        raise FedloraError(f"'{path}' is no record ({error}): copy it again") from None


def _read_vector(folder: Path) -> Tensor:
    path = folder / _VECTOR
    try:
        data = foreign.read_bytes(path)
        return frame.unpack(data, limit=len(data))[0]["vector"]
    except FileNotFoundError:
        raise FedloraError(f"adapter folder '{folder}' has no {_VECTOR}: give its vector") from None
    except (OSError, KeyError, FedloraError) as error:
        raise FedloraError(f"'{path}' is no task vector ({error}): copy it again") from None
