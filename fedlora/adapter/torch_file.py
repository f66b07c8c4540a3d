"""PyTorch's own files from anybody: tensors alone, and no more memory than the file has bytes."""

import io
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from fedlora import foreign
from fedlora.errors import FedloraError
from fedlora.pickles import check_pickle

OLD_PICKLES = 5
"""Magic number, protocol, system, tensors and the keys of their storages, before the values."""


def read_torch(path: Path) -> Any:
    """What a .pt, .pth, .ckpt or .bin file holds, without running code of its own.

    Raises:
        FedloraError: it is damaged, compressed, or needs code to be read.
    """
    try:
        foreign.check(path)
        _check_archive(path)
        _check_pickles(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols that only mangled files name
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise FedloraError(
            f"'{path}': a pickle that holds more than tensors, which can run code when it is read;"
            " save the adapter's tensors alone, best as .safetensors"
        ) from None
    except FedloraError:
        raise
    except Exception as error:  # noqa: BLE001 - PyTorch raises whatever a mangled opcode leads to
        reason = str(error).strip().partition("\n")[0][:120]
        raise FedloraError(
            f"'{path}': damaged ({reason!a}); copy it again, or save it by torch.save"
        ) from None


def check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that is not as large as it seems, before anything is computed with it.

    A view can repeat one value a trillion times; a sparse or a meta tensor holds none of them.

    Raises:
        FedloraError: it is no dense tensor of real values, each with a place in the file.
    """
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_quantized or tensor.is_complex():
        raise FedloraError(f"'{path}': tensor {name!a:.80} is no plain tensor; save a dense copy")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise FedloraError(
            f"'{path}': tensor {name!a:.80} repeats its values; save a contiguous copy"
        )


def _check_pickles(path: Path) -> None:
    """Look through the pickles of an archive, or those with which an older file begins."""
    size = path.stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith(".pkl"):
                        check_pickle(io.BytesIO(archive.read(entry)), size)
            return
        with path.open("rb") as file:
            for _ in range(OLD_PICKLES):
                check_pickle(file, size)
    except FedloraError as error:
        raise FedloraError(f"'{path}': {error}; save the adapter's tensors alone") from None


def _check_archive(path: Path) -> None:
    """Refuse an archive that grows when it is read: PyTorch never compresses its own."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise FedloraError(f"'{path}': a compressed archive; save it with torch.save")
