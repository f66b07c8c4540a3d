"""The bank of adapters: records in SQLite, values in safetensors, PEFT folders in and out."""

from fedlora.server.bank.record import Record, StoredRecord
from fedlora.server.bank.store import Bank

__all__ = ["Bank", "Record", "StoredRecord"]
