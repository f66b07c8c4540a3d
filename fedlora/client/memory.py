"""What a client holds on to from one round to its next, on its own disk.

Whatever process answers for the client, on Ray or in a deployment, finds it there, by run, client
and round: what a round left is never changed, so that a question asked again after a kill has the
same answer.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from fedlora import atomic, cache
from fedlora.adapter import LoraAdapter, bundle
from fedlora.aggregation.contract import GONE
from fedlora.errors import FedloraError


class Memory:
    """One client's files in one run.

    run: the run's name among all, from the server.
    """

    def __init__(self, run: str, client: int) -> None:
        if not re.fullmatch("[0-9a-f]{16}", run):
            raise FedloraError(f"message names the run {run!a:.40}, which is no name of a run")
        self._root = cache.folder() / "memory"
        self._folder = self._root / run / f"client-{client}"

    def recall(self, round: int) -> dict[str, LoraAdapter]:
        """What a round left, by name.

        Raises:
            FedloraError: it is gone; the server then takes the client for one that joins.
        """
        try:
            return bundle.from_bytes(self._file(round).read_bytes())
        except (OSError, FedloraError):
            raise FedloraError(
                f"{GONE}: what it kept of round {round} in {self._folder};"
                " it joins anew in a later round"
            ) from None

    def keep(self, round: int, adapters: Mapping[str, LoraAdapter], since: int) -> None:
        """Write down what a round leaves; what came before round `since` is no longer needed."""
        atomic.write_bytes(self._file(round), bundle.to_bytes(adapters))
        for file in self._folder.glob("*.safetensors"):
            if int(file.stem) < since:
                file.unlink(missing_ok=True)
        cache.forget_old(self._root)

    def _file(self, round: int) -> Path:
        return self._folder / f"{round}.safetensors"
