"""The bank as PEFT folders, out and in again."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor

from fedlora import atomic, frame
from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.bank.naming import folder_name
from fedlora.bank.record import IMPORTED, Record, StoredRecord
from fedlora.bank.store import Bank
from fedlora.errors import FedloraError

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


def import_peft(
    bank: Bank, folder: Path, record: Record | None = None, vector: Tensor | None = None
) -> list[str]:
    """Add what `export_peft` wrote, or one adapter of plain PEFT.

    Args:
        bank: where to.
        folder: an adapter's folder, or a folder of such folders.
        record: where the adapter comes from; needed for one of plain PEFT.
        vector: the task vector (c,) of its task; needed for one of plain PEFT.

    A record that the bank holds with another adapter, as banks of two runs do, goes in as one of
    client IMPORTED. One of plain PEFT that its task has already is not added again.

    Returns:
        The digests, in the order of the folders' names; those already in the bank included.

    Raises:
        FedloraError: a folder holds no adapter, one of another base model, or no record or
            vector. What came before it in the order stays in the bank.
    """
    folder = Path(folder)
    if (folder / peft_folder.CONFIG).exists():
        paths = [folder]
    else:
        paths = sorted(path.parent for path in folder.glob(f"*/{peft_folder.CONFIG}"))
    if not paths:
        raise FedloraError(f"no adapter in '{folder}': name a PEFT folder, or a folder of them")
    if len(paths) > 1 and (record is not None or vector is not None):
        raise FedloraError(f"'{folder}' holds {len(paths)} adapters, but one record was given")
    digests = []
    for path in paths:
        adapter = peft_folder.load(path, bank.spec.base)
        if record is not None and _holds(bank, record.task, adapter):
            digests.append(adapter.digest())
            continue
        given = _beside(bank, record or _read_record(path), adapter)
        digests.append(bank.add(given, adapter, _read_vector(path) if vector is None else vector))
    return digests


def _holds(bank: Bank, task: str, adapter: LoraAdapter) -> bool:
    """Whether the task has this adapter already, whoever it came from."""
    digest = adapter.digest()
    return any(known.task == task and known.digest == digest for known in bank.records())


def _beside(bank: Bank, record: Record, adapter: LoraAdapter) -> Record:
    """The record; where it holds another adapter, whose client is of another run, one of its own.

    That is IMPORTED's next sample of the task, or the one under which the adapter came before.
    """
    digest = adapter.digest()
    held = {known.key: known.digest for known in bank.records()}
    if held.get(record.key, digest) == digest:
        return record
    own = (replace(record, client=IMPORTED, sample=sample) for sample in itertools.count())
    return next(other for other in own if held.get(other.key, digest) == digest)


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
        return Record(**frame.read_json(path.read_text("utf-8")))
    except FileNotFoundError:
        raise FedloraError(
            f"adapter folder '{folder}' has no {_RECORD}: say its task and task vector"
        ) from None
    except (OSError, UnicodeDecodeError, TypeError, FedloraError) as error:
        raise FedloraError(f"'{path}' is no record ({error}): copy it again") from None


def _read_vector(folder: Path) -> Tensor:
    path = folder / _VECTOR
    try:
        data = path.read_bytes()
        return frame.unpack(data, limit=len(data))[0]["vector"]
    except FileNotFoundError:
        raise FedloraError(f"adapter folder '{folder}' has no {_VECTOR}: give its vector") from None
    except (OSError, KeyError, FedloraError) as error:
        raise FedloraError(f"'{path}' is no task vector ({error}): copy it again") from None
