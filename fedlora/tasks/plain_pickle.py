"""Data sets that are published as pickles, read without letting them run anything."""

import io
import pickle
from pathlib import Path
from typing import Any

from fedlora import foreign
from fedlora.errors import FedloraError
from fedlora.pickles import check_pickle

_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}
"""What arrays of numbers are made of; a pickle that names anything else is refused."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        return super().find_class(module, name)


def read_plain(path: Path) -> dict[str, Any]:
    """A dictionary of lists, texts and arrays; its keys as text.

    Raises:
        FedloraError: the file is missing or damaged, or holds more than plain data.
    """
    try:
        data = foreign.read_bytes(path)
        check_pickle(io.BytesIO(data), len(data))
        found = _Plain(io.BytesIO(data), encoding="bytes").load()
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file; check 'path' of the source") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        raise FedloraError(f"{path}: not a plain data file ({error}); fetch it again") from None
    if not isinstance(found, dict):
        raise FedloraError(f"{path}: holds no dictionary; fetch it again")
    return {_text(key): value for key, value in found.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
