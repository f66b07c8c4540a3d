"""The bank of adapters: records in SQLite, values in safetensors, files in and out."""

from fedlora.bank.arrival import Arrival
from fedlora.bank.folders import export_peft, import_peft, peft_arrivals
from fedlora.bank.plain_files import import_plain, plain_arrivals
from fedlora.bank.record import IMPORTED, Record, StoredRecord
from fedlora.bank.store import Bank

__all__ = [
    "IMPORTED",
    "Arrival",
    "Bank",
    "Record",
    "StoredRecord",
    "export_peft",
    "import_peft",
    "import_plain",
    "peft_arrivals",
    "plain_arrivals",
]
