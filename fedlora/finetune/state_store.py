"""Where recorded states are kept: in memory, and what memory has no room for on disk."""

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

_ZEROS = bytes(1 << 20)


class StateStore:
    """Tensors by name, within a budget of bytes in memory and another on disk.

    What is pushed out of memory goes to disk, the least recently used first, and is gone once it
    is pushed out from there.

    Args:
        memory, disk: bytes at most.
        folder: on the disk; its files have no names, so that none outlives the process.
    """

    def __init__(self, memory: int, disk: int, folder: Path) -> None:
        self.memory = memory
        self.disk = disk
        self._folder = folder
        self._quick: OrderedDict[object, Tensor] = OrderedDict()
        self._slow: OrderedDict[object, Tensor] = OrderedDict()

    @property
    def in_memory(self) -> int:
        """Bytes."""
        return sum(held.nbytes for held in self._quick.values())

    @property
    def on_disk(self) -> int:
        """Bytes."""
        return sum(held.nbytes for held in self._slow.values())

    @property
    def most(self) -> int:
        """Bytes of the largest tensor that may be kept."""
        return max(self.memory, self.disk)

    def find(self, name: object) -> Tensor | None:
        """The tensor of a name, None if it is not here; what lies on disk is on the CPU."""
        for held in (self._quick, self._slow):
            if name in held:
                held.move_to_end(name)
                return held[name]
        return None

    def empty(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """Room for a tensor that is about to be computed; None if there is not enough."""
        size = shape.numel() * dtype.itemsize
        if size <= self.memory:
            return torch.empty(shape, dtype=dtype, device=device)
        return self._file(shape, dtype) if size <= self.disk else None

    def keep(self, name: object, values: Tensor) -> None:
        """Keep a tensor that lies where `empty` put it; others may have to go."""
        if values.nbytes > self.memory:
            self._keep_slow(name, values)
            return
        self._quick[name] = values
        while self.in_memory > self.memory:
            left, old = self._quick.popitem(last=False)
            if old.nbytes <= self.disk:
                copy = self._file(old.shape, old.dtype)
                if copy is not None:
                    self._keep_slow(left, copy.copy_(old))

    def _keep_slow(self, name: object, values: Tensor) -> None:
        self._slow[name] = values
        while self.on_disk > self.disk:
            self._slow.popitem(last=False)

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
