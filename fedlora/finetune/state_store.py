"""Where recorded states are kept: in memory, and what memory has no room for on disk."""

from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

_ZEROS = bytes(1 << 20)


class StateStore:
    """Tensors by name, within a budget of bytes in memory and another on disk.

    What has no room in memory goes to disk, and what has none there is gone, the newest first:
    rounds meet all shards in the same order, so that the oldest are the next to be asked for. What
    is gone lives on while it is in use, which is as much again at most.

    Args:
        memory, disk: bytes at most.
        folder: on the disk; its files have no names, so that none outlives the process.
        at_once: how many tensors are in use together; each may take that share of the budget.

    Attributes:
        in_memory, on_disk: bytes that are kept.
    """

    def __init__(self, memory: int, disk: int, folder: Path, at_once: int = 1) -> None:
        self.memory = memory
        self.disk = disk
        self._folder = folder
        self._quick_most, self._slow_most = memory // at_once, disk // at_once
        self._quick: dict[object, Tensor] = {}
        self._slow: dict[object, Tensor] = {}
        self.in_memory = self.on_disk = 0

    @property
    def most(self) -> int:
        """Bytes of the largest tensor that may be kept."""
        return max(self._quick_most, self._slow_most)

    def find(self, name: object) -> Tensor | None:
        """The tensor of a name, None if it is not here; what lies on disk is on the CPU."""
        found = self._quick.get(name)
        return self._slow.get(name) if found is None else found

    def empty(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """Room for a tensor that is about to be computed; None if there is not enough."""
        size = shape.numel() * dtype.itemsize
        if size <= self._quick_most:
            return torch.empty(shape, dtype=dtype, device=device)
        return self._file(shape, dtype) if size <= self._slow_most else None

    def keep(self, name: object, values: Tensor) -> None:
        """Keep a tensor that lies where `empty` put it, if there is room beside the others."""
        if self.in_memory + values.nbytes <= self.memory:
            self._quick[name] = values
            self.in_memory += values.nbytes
        elif self.on_disk + values.nbytes <= self.disk:
            there = values
            if values.nbytes <= self._quick_most:  # it was made in memory
                file = self._file(values.shape, values.dtype)
                if file is None:
                    return
                there = file.copy_(values)
            self._slow[name] = there
            self.on_disk += values.nbytes

    def _file(self, shape: torch.Size, dtype: torch.dtype) -> Tensor | None:
        """A tensor whose pages are those of a file; None where the disk is full."""
        size = shape.numel() * dtype.itemsize
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._folder) as file:
                # A page that cannot be written later would end the process.
                for left in range(size, 0, -len(_ZEROS)):
                    file.write(_ZEROS[:left])
                file.flush()
                values = torch.from_file(file.name, shared=True, size=shape.numel(), dtype=dtype)
            return values.reshape(shape)
        return None
