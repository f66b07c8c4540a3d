"""The IDX format of the MNIST family of data sets."""

import gzip
from pathlib import Path

import numpy as np

from fedlora.errors import FedloraError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes, in the shape its header states.

    Layout: two zero bytes, the type, the number of axes, one big-endian 32-bit length an axis,
    then the values (http://yann.lecun.com/exdb/mnist/).

    Raises:
        FedloraError: the file is missing, is no IDX file of bytes, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise FedloraError(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        raise FedloraError(f"{path}: not an IDX file of unsigned bytes; fetch it again")
    axes = raw[3]
    start = 4 + 4 * axes
    shape = tuple(int(length) for length in np.frombuffer(raw[4:start], dtype=">u4"))
    if len(shape) != axes or len(raw) - start != int(np.prod(shape)):
        raise FedloraError(f"{path}: cut short; fetch it again")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)
