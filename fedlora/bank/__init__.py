"""The bank of adapters: records in SQLite, values in safetensors, PEFT folders in and out."""

from fedlora.bank.folders import export_peft, import_peft
from fedlora.bank.record import Record, StoredRecord
from fedlora.bank.store import Bank

__all__ = ["Bank", "Record", "StoredRecord", "export_peft", "import_peft"]
