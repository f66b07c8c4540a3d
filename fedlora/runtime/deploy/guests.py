"""The SuperNodes that a server lets in: the public keys in its folder."""

import time
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import Control, NoAnswerError, control, read_public_key
from fedlora.runtime.deploy.place import Place
from fedlora.runtime.deploy.watch import Say

_EVERY = 1.0
"""Seconds between two looks into the folder."""


class Guests:
    """Registers with the SuperLink every key that lies in `nodes/`, those that come later too.

    Keys registered before stay so, in the SuperLink's database; `look` only adds.

    registered: whether all keys that were there at the last look are.
    """

    def __init__(self, place: Place, say: Say) -> None:
        self._place = place
        self._say = say
        self._known: set[str] = set()
        self._next = 0.0
        self.registered = False

    def look(self) -> None:
        """Register what is new, once a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        new = [f for f in sorted(self._place.nodes.glob("*.pub")) if f.stem not in self._known]
        self.registered = not new
        if not new:
            return
        try:
            with control(self._place) as superlink:
                there = {node.public_key for node in superlink.nodes()}
                for file in new:
                    self._let_in(superlink, file, there)
                    self._known.add(file.stem)
            self.registered = True
        except NoAnswerError:
            return  # the SuperLink starts, or starts again

    def _let_in(self, superlink: Control, file: Path, there: set[bytes]) -> None:
        try:
            key = read_public_key(file)
            if key not in there:
                superlink.register(file.stem, key)
                self._say(f"let in {file.stem}")
        except NoAnswerError:
            raise
        except FedloraError as error:  # of this key alone
            self._say(str(error))
