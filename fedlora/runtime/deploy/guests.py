"""The SuperNodes that a server lets in: the public keys in its folder, less the revoked ones."""

import base64
import time
from collections.abc import Sequence
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import Control, NoAnswerError, Node, control, read_public_key
from fedlora.runtime.deploy.gate import Standing
from fedlora.runtime.deploy.place import REVOKED, Place
from fedlora.runtime.deploy.shares import write_shares
from fedlora.runtime.deploy.watch import Say

_EVERY = 1.0
"""Seconds between two looks into the folder."""


class Guests:
    """Registers with the SuperLink every key in `nodes/`, and puts out those that were revoked.

    Files that come later are seen within a second or two. A key registered before stays so, in the
    SuperLink's database, until it is revoked: a file that is lost puts nobody out while the server
    runs.

    registered: whether the SuperLink knew all the files of the last look.
    """

    def __init__(self, place: Place, say: Say) -> None:
        self._place = place
        self._say = say
        self._done: set[tuple[Path, int, int]] = set()
        self._standing: dict[str, Standing] = {}
        self._next = 0.0
        self.registered = False

    def standing(self, key: str) -> Standing:
        """How a public key stands.

        key: in base64, as SuperNodes name it in a request.
        """
        return self._standing.get(key, Standing.UNKNOWN)

    def look(self) -> None:
        """Tell the SuperLink what is new, once a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        revoked = sorted(self._place.nodes.glob(f"*{REVOKED}"))
        out = {file.stem for file in revoked}
        keys = [f for f in sorted(self._place.nodes.glob("*.pub")) if f.stem not in out]
        new = [file for file in (*revoked, *keys) if _mark(file) not in self._done]
        self.registered = not new
        if not new:
            return
        try:
            with control(self._place) as superlink:
                nodes = superlink.nodes()
                for file in new:
                    self._tell(superlink, file, nodes)
                    self._done.add(_mark(file))
                write_shares(self._place, superlink)
            self.registered = True
        except NoAnswerError:
            return  # the SuperLink starts, or starts again

    def _tell(self, superlink: Control, file: Path, nodes: Sequence[Node]) -> None:
        try:
            key = read_public_key(file)
            named = base64.b64encode(key).decode()
            here = [node for node in nodes if node.public_key == key]
            if file.suffix == REVOKED:
                self._standing[named] = Standing.REVOKED
                for node in here:
                    superlink.unregister(node)
                    self._say(f"put out {file.stem}")
                return
            if not here:
                superlink.register(file.stem, key)
                self._say(f"let in {file.stem}")
            self._standing[named] = Standing.INVITED
        except NoAnswerError:
            raise
        except FedloraError as error:  # of this key alone
            self._say(str(error))


def _mark(file: Path) -> tuple[Path, int, int]:
    """What changes when a file does: one that was copied by half is looked at again."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return file, 0, 0
    return file, found.st_size, found.st_mtime_ns
