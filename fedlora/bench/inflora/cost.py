"""What design and memory cost at the sizes of ViT-B/16, and what statistics hold on to."""

import time
from typing import Any

import numpy as np
import torch

from fedlora.backbone import open_slot
from fedlora.bench.peak import with_peak
from fedlora.bench.processes import measured
from fedlora.config import BackboneConfig, LoraSection
from fedlora.continual.design import design_down
from fedlora.continual.memory import Memory
from fedlora.continual.statistics import Statistics, nothing, pack
from fedlora.continual.stream import StreamTask, classifier
from fedlora.continual.study import survey
from fedlora.results import Claim
from fedlora.tasks.contract import Examples

LAYERS, WIDTH, RANK = 12, 768, 10
IMAGES, TOKENS = 50_000, 197
THREADS = 2
HELD = (0.95, 0.9999)
"""Shares of the energy of the features that are held, so that M is stored, or its complement."""
WARM = 8


def cost(layers: int = LAYERS, width: int = WIDTH) -> tuple[list[Claim], list[dict[str, Any]]]:
    """Seconds of one task's design and update in every layer, tasks being held already.

    The statistics themselves are made from fewer tokens than the count says, which costs the same
    from there on. Memories that hold most of the space are timed as well as those that hold little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        rng = torch.Generator().manual_seed(0)
        tasks = [[_statistics(rng, width) for _ in range(layers)] for _ in range(2)]
        rows = [_timed(tasks, share) for share in HELD]
    finally:
        torch.set_num_threads(threads)
    name = f"{layers} layers of width {width}"
    claims = [
        Claim(
            id="I4",
            what=f"wall seconds to design and update {name}, {row['memory']:.0%} of it held",
            value=row["wall_seconds"],
            unit="s",
            sense="<=",
            target=30,
        )
        for row in rows
    ]
    return claims, [{"case": name, **row} for row in rows]


def growth(few: int = 512, many: int = 5120) -> tuple[list[Claim], list[dict[str, Any]]]:
    """The most memory that statistics of images take beyond the images, and how it grows.

    On the small ViT, each number of images in a process of its own.
    """
    peaks = [next(measured(_peak_of_survey, [count], 1))[1] for count in (few, many)]
    rows = [
        {"case": f"statistics of {count:,} images", "peak_bytes": peak}
        for count, peak in zip((few, many), peaks, strict=True)
    ]
    what = f"peak memory of statistics of {many:,} images over those of {few:,}"
    if peaks[0] is None or peaks[1] is None:
        reason = "not measured: only Linux counts a process's peak from a mark"
        return [Claim(id="I4", what=what, value=None, sense="<=", target=1.25, reason=reason)], rows
    return [Claim(id="I4", what=what, value=peaks[1] / peaks[0], sense="<=", target=1.25)], rows


def _timed(tasks: list[list[Statistics]], share: float) -> dict[str, Any]:
    """Design and update in every layer, tasks being held that have a share of the energy."""
    layers, width = len(tasks[0]), tasks[0][0].width
    memories = [Memory.empty(width).grow(one.mean, share) for one in tasks[0]]
    began, wall = time.process_time(), time.perf_counter()
    for new, memory in zip(tasks[1], memories, strict=True):
        design_down(new.mean, memory, RANK, "bench", "zero")
        memory.grow(new.mean, share)
    return {
        "cpu_seconds": time.process_time() - began,
        "wall_seconds": time.perf_counter() - wall,
        "statistics_bytes": layers * 4 * pack(nothing(width)).numel(),
        "memory": sum(memory.size for memory in memories) / layers / width,
    }


def _peak_of_survey(count: int) -> int | None:
    """Bytes beyond what the process holds with the model and the images."""
    torch.set_num_threads(1)
    settings = LoraSection(rank=4, alpha=4, targets=("k_proj", "v_proj"))
    slot = open_slot(BackboneConfig(name="tiny_vit"), settings, "cpu")
    objective = classifier(slot, "image-classification", ("odd", "even"), 32)
    drawn = np.random.default_rng(0).random((count, 1, 28, 28), dtype=np.float32)
    rows = objective.encode(Examples(drawn, np.arange(count) % 2))
    first = {name: column[:WARM] for name, column in rows.items()}
    task = StreamTask("t", "image-classification", ("odd", "even"), 32, objective, *3 * [rows])
    survey(task, first, None)
    return with_peak(lambda: survey(task, rows, None))[1]


def _statistics(rng: torch.Generator, width: int) -> Statistics:
    """Inputs whose energy falls off by a power, as measured inputs of transformers do."""
    scales = torch.arange(1, width + 1, dtype=torch.float64) ** -0.7
    turn = torch.linalg.qr(torch.randn(width, width, generator=rng, dtype=torch.float64)).Q
    found = nothing(width)
    for _ in range(4):
        drawn = torch.randn(2 * width, width, generator=rng, dtype=torch.float64)
        found = found.add((drawn * scales) @ turn.T)
    return Statistics(found.total, IMAGES * TOKENS)
