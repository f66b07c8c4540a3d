"""The bank of adapters: records in SQLite, values in safetensors, files in and out."""

from fedlora.bank.arrival import Arrival
from fedlora.bank.folders import export_peft, peft_arrivals, peft_folders
from fedlora.bank.plain_files import plain_arrivals, sample_number
from fedlora.bank.record import IMPORTED, Record, StoredRecord
from fedlora.bank.store import Bank

__all__ = [
    "IMPORTED",
    "Arrival",
    "Bank",
    "Record",
    "StoredRecord",
    "export_peft",
    "peft_arrivals",
    "peft_folders",
    "plain_arrivals",
    "sample_number",
]
