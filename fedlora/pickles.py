"""Pickles from anybody, looked through before they are read."""

import pickletools
from typing import BinaryIO

from fedlora.errors import FedloraError


def check_pickle(file: BinaryIO, size: int) -> None:
    """Refuse a pickle that takes far more memory than it has bytes, and go to its end.

    A few bytes can ask for an array of zeros of any length, or for a table of any number of
    places.

    size: of the whole file, in bytes.

    Raises:
        FedloraError: it does.
        ValueError: it is damaged.
    """
    for opcode, argument, _ in pickletools.genops(file):
        if isinstance(argument, str) and "bytearray" in argument:
            raise FedloraError("a pickle with an array of bytes of any length")
        if isinstance(argument, int) and "PUT" in opcode.name and argument > size:
            raise FedloraError("a pickle with more places than bytes")
