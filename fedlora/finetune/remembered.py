"""Group sizes that were found before on this machine, in one small file."""

import json
import platform
from pathlib import Path

import torch

from fedlora import atomic
from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.results import this_machine


class Remembered:
    """Sizes by the name of the work; without a file, or with one that cannot be used, none.

    Two processes that write at the same moment may lose one of two sizes, which is then found
    again.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def find(self, work: str) -> int:
        """The size found for this work, 1 if there is none."""
        return self._read().get(work, 1)

    def keep(self, work: str, size: int) -> None:
        """Remember a size; where nothing can be written, nothing happens."""
        if self.path is None:
            return
        text = json.dumps(self._read() | {work: size}, indent=1, sort_keys=True)
        try:
            atomic.write_text(self.path, text + "\n")
        except (FedloraError, OSError):
            return

    def _read(self) -> dict[str, int]:
        if self.path is None:
            return {}
        try:
            known = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {work: size for work, size in known.items() if type(size) is int and size > 0}


def setting(slot: AdapterSlot) -> str:
    """What the speed of training depends on beside the shape of the work, in words."""
    if slot.device.type == "cuda":
        machine = torch.cuda.get_device_name(slot.device)
    else:
        machine = f"{this_machine().cpu}, {torch.get_num_threads()} threads"
    return (
        f"{machine}; {platform.system()}, torch {torch.__version__};"
        f" base {slot.spec.base[:16]}, {len(slot.spec.layers)} layers,"
        f" {slot.spec.size} adapter values"
    )
