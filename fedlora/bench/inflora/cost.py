"""What design and memory cost at the sizes of ViT-B/16, and what statistics hold on to."""

import time
from typing import Any

import torch

from fedlora.continual.design import design_down
from fedlora.continual.memory import Memory
from fedlora.continual.statistics import Statistics, nothing, pack
from fedlora.results import Claim

LAYERS, WIDTH, RANK = 12, 768, 10
IMAGES, TOKENS = 50_000, 197
THREADS = 2


def cost(layers: int = LAYERS, width: int = WIDTH) -> tuple[list[Claim], list[dict[str, Any]]]:
    """CPU seconds of one task's design and update in every layer, a task being held already.

    CPU time of the process, which two threads can halve on a free machine; the statistics
    themselves are made from fewer tokens than the count says, which costs the same from there on.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        rng = torch.Generator().manual_seed(0)
        tasks = [[_statistics(rng, width) for _ in range(layers)] for _ in range(2)]
        memories = [Memory.empty(width).grow(one.mean, 0.95) for one in tasks[0]]
        began, wall = time.process_time(), time.perf_counter()
        for new, memory in zip(tasks[1], memories, strict=True):
            design_down(new.mean, memory, RANK, "bench")
            memory.grow(new.mean, 0.96)
        seconds, wall = time.process_time() - began, time.perf_counter() - wall
        grown = _held(10_000, width) - _held(100, width)
    finally:
        torch.set_num_threads(threads)
    row = {
        "case": f"{layers} layers of width {width}",
        "cpu_seconds": seconds,
        "wall_seconds": wall,
        "statistics_bytes": layers * 4 * pack(nothing(width)).numel(),
        "memory": sum(memory.size for memory in memories) / layers / width,
    }
    claims = [
        Claim(
            id="I4",
            what=f"CPU seconds to design and update {layers} layers of width {width}",
            value=seconds,
            unit="s",
            sense="<=",
            target=30,
        ),
        Claim(
            id="I4",
            what="bytes that statistics of 10,000 tokens hold beyond those of 100",
            value=grown,
            sense="==",
            target=0,
        ),
    ]
    return claims, [row]


def _statistics(rng: torch.Generator, width: int) -> Statistics:
    """Inputs whose energy falls off by a power, as measured inputs of transformers do."""
    scales = torch.arange(1, width + 1, dtype=torch.float64) ** -0.7
    turn = torch.linalg.qr(torch.randn(width, width, generator=rng, dtype=torch.float64)).Q
    found = nothing(width)
    for _ in range(4):
        drawn = torch.randn(2 * width, width, generator=rng, dtype=torch.float64)
        found = found.add((drawn * scales) @ turn.T)
    return Statistics(found.total, IMAGES * TOKENS)


def _held(tokens: int, width: int) -> int:
    """Bytes of the statistics of a number of tokens."""
    found = nothing(width)
    for part in torch.zeros(tokens, width).split(1000):
        found = found.add(part)
    return found.total.numel() * found.total.element_size()
