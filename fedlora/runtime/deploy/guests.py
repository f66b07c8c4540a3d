"""The SuperNodes that a server lets in: the public keys in its folder."""

import time

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import control, read_public_key
from fedlora.runtime.deploy.place import Place
from fedlora.runtime.deploy.watch import Say

_EVERY = 1.0
"""Seconds between two looks into the folder."""


class Guests:
    """Registers with the SuperLink every key that lies in `nodes/`, those that come later too.

    Keys registered before stay so, in the SuperLink's database; `look` only adds.
    """

    def __init__(self, place: Place, say: Say) -> None:
        self._place = place
        self._say = say
        self._known: set[str] = set()
        self._next = 0.0

    def look(self) -> None:
        """Register what is new, once a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        new = [f for f in sorted(self._place.nodes.glob("*.pub")) if f.stem not in self._known]
        if not new:
            return
        try:
            with control(self._place) as superlink:
                there = {node.public_key for node in superlink.nodes()}
                for file in new:
                    key = read_public_key(file)
                    if key not in there:
                        superlink.register(file.stem, key)
                        self._say(f"let in {file.stem}")
                    self._known.add(file.stem)
        except FedloraError as error:
            # It starts, or starts again; a key that is refused for good says so each time.
            if "does not answer" not in str(error):
                self._say(str(error))
                self._known.update(file.stem for file in new)
