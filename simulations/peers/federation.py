"""A federation as every system gets it: a frozen model, clients' rows, and how to train.

`fedlora bench sim` writes the folder. It holds tensors and settings only, so that nothing of
fedlora runs in the systems it is measured beside.
"""

import json
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Rows = dict[str, Tensor]


class Federation:
    """The folder.

    settings: reference, modality, layers, rank, alpha, learning_rate, weight_decay, clip_norm,
        batch_size, `clients`: those that take part in a round, and the device.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = json.loads((folder / "federation.json").read_text())
        self.clients = int(self.settings["clients"])
        self.warm_up = int(self.settings["warm_up"])
        self.device = self.settings["device"]

    @cached_property
    def _columns(self) -> Rows:
        return load_file(self.folder / "rows.safetensors")

    def rows(self, client: int) -> Rows:
        """One client's training rows, in the order in which it sees them."""
        return {name: column[client].to(self.device) for name, column in self._columns.items()}

    def start(self) -> Rows:
        """The adapter that every client starts from, by the names of a PeftModel's state."""
        return load_file(self.folder / "start.safetensors")

    def head(self) -> tuple[Tensor, Tensor]:
        """The frozen head of a classification: weight (classes, width) and bias (classes,)."""
        head = load_file(self.folder / "head.safetensors")
        return head["weight"], head["bias"]

    def write(self, replies: dict[int, Rows]) -> None:
        """Keep what each client replied in the last round, for comparison."""
        names = sorted(self.start())
        flat = [torch.cat([replies[k][n].flatten() for n in names]).cpu() for k in sorted(replies)]
        clients = torch.tensor(sorted(replies))
        save_file({"clients": clients, "values": torch.stack(flat)}, self.folder / "replies")
