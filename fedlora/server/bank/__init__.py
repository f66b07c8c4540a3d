"""The bank of adapters: records in SQLite, values in safetensors, PEFT folders in and out."""

from fedlora.server.bank.folders import export_peft, import_peft
from fedlora.server.bank.record import Record, StoredRecord
from fedlora.server.bank.store import Bank

__all__ = ["Bank", "Record", "StoredRecord", "export_peft", "import_peft"]
