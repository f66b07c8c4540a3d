"""Cases of a bench, each measured in a process of one thread, several beside each other."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

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
        yield from zip(cases, pool.map(measure, cases), strict=True)
