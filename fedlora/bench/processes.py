"""Cases of a bench, each measured in a process of one thread, several beside each other."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from fedlora.errors import FedloraError

C = TypeVar("C")
R = TypeVar("R")


def measured(
    measure: Callable[[C], R], cases: Sequence[C], workers: int | None
) -> Iterator[tuple[C, R]]:
    """Each case and what it came to, in order; as many at once as there are cores when None."""
    if not cases:
        return
    count = min(workers or os.cpu_count() or 1, len(cases))
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawned, torch.set_num_threads, (1,)) as pool:
        try:
            yield from zip(cases, pool.map(measure, cases), strict=True)
        except BrokenProcessPool:
            raise FedloraError(
                "a process of the bench was killed, as where memory runs out; run it again with"
                " fewer --workers: what is done is kept"
            ) from None
