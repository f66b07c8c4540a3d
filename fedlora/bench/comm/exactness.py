"""How far the methods that claim to be exact are from the centralised average of products."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.parts import put_parts, take_parts
from fedlora.adapter.product import mean_delta
from fedlora.aggregation.contract import FOLD, Aggregator, State
from fedlora.config import AggregatorPart

EXACT = ("fedex", "flora", "flexlora", "ffa", "fedsa", "rolora")
MIXED_RANKS = ("flora", "flexlora")


def worst_errors(clients: int = 8, rank: int = 4, width: int = 96) -> dict[str, float]:
    """For each exact method, the largest relative error of a layer against the dense average.

    The error is |W - W'|_F / |W|_F with W = sum_i p_i DeltaW_i in float64; a client's W' is its
    folded base and its adapter together. With `fedsa`, whose ups stay at home, it is the largest
    of any client, W being sum_j p_j up_i down_j. `rolora` is the worse of its two kinds of rounds.
    Where ranks may differ they do, and FlexLoRA's mean is looked at before it is cut to a client's
    rank.
    """
    layers = tuple(LayerSpec(f"layer.{i}", width, width + 32 * i, rank) for i in range(3))
    spec = AdapterSpec("0" * 64, layers, alpha=8.0)
    weights = [float(1 + i % 3) for i in range(clients)]
    return {name: max(_error(name, spec, weights, round) for round in (1, 2)) for name in EXACT}


WIDTH, RANK, BLOCKS = 768, 16, 12
TARGETS = {
    "q and v": ((WIDTH, WIDTH),) * 2,
    "q, k, v and both layers of the MLP": (
        *((WIDTH, WIDTH),) * 3,
        (WIDTH, 4 * WIDTH),
        (4 * WIDTH, WIDTH),
    ),
}
"""Of a block of ViT-B/32, the widths in and out; the second is what the CLIP module adapts."""


def seconds_of_svd(clients: int, targets: str, threads: int = 2) -> tuple[float, float]:
    """Wall time for ViT-B/32: `TARGETS` of `BLOCKS` blocks, at rank `RANK`.

    Returns:
        That of the best adapter of a rank for the mean of all (`mean_delta`), and that of a whole
        round of FlexLoRA, which keeps the mean exactly before it cuts it to the client's rank.
    """
    layers = tuple(
        LayerSpec(f"block.{i:02}.{place}", *widths, RANK)
        for i in range(BLOCKS)
        for place, widths in enumerate(TARGETS[targets])
    )
    spec = AdapterSpec("0" * 64, layers, alpha=32.0)
    sent = [draw(spec, seed) for seed in range(clients)]
    flexlora: Aggregator = AggregatorPart(name="flexlora").build()

    def round() -> None:
        state = flexlora.aggregate(State(0, sent[0], clients), sent, [1.0] * clients)
        flexlora.give(state, spec)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _seconds(lambda: mean_delta(sent, [1 / clients] * clients, RANK)), _seconds(round)
    finally:
        torch.set_num_threads(before)


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _error(name: str, spec: AdapterSpec, weights: list[float], round: int) -> float:
    method: Aggregator = AggregatorPart(name=name).build()
    start, trains = draw(spec, 1000), method.duty(round).trains
    rank = spec.layers[0].rank
    ranks = [1 + i % rank if name in MIXED_RANKS else rank for i in range(len(weights))]
    sent = [draw(spec.with_rank(own), seed) for seed, own in enumerate(ranks)]
    if len(trains) == 1:  # the other factor is the one that all clients hold
        sent = [put_parts(start, trains, take_parts(adapter, trains)) for adapter in sent]
    state = method.aggregate(State(round - 1, start, len(sent)), sent, weights)
    shares = [weight / sum(weights) for weight in weights]
    if name == "fedsa":
        ups = [take_parts(adapter, ("up",)) for adapter in sent]
        return max(_apart(*_with_up(up, state.common, sent), shares) for up in ups)
    wide = spec.with_rank(min(sum(ranks), *(min(x.d_in, x.d_out) for x in spec.layers)))
    given = method.give(state, wide if name in MIXED_RANKS else state.common.spec)
    parts = [given, *([state.extra[FOLD]] if FOLD in state.extra else [])]
    return _apart(parts, sent, shares)


def _with_up(
    up: Tensor, common: LoraAdapter, sent: Sequence[LoraAdapter]
) -> tuple[list[LoraAdapter], list[LoraAdapter]]:
    """What a client that keeps its up makes of the common down, and of every client's down."""
    own = [put_parts(adapter, ("up",), up) for adapter in (common, *sent)]
    return own[:1], own[1:]


def _apart(
    parts: Sequence[LoraAdapter], sent: Sequence[LoraAdapter], shares: Sequence[float]
) -> float:
    """The largest relative error of a layer of the parts' sum against the dense average."""
    errors = []
    for layer in sent[0].spec.layers:
        dense = sum(s * _dense(a, layer.name) for s, a in zip(shares, sent, strict=True))
        found = sum(_dense(part, layer.name) for part in parts)
        errors.append(float(torch.linalg.norm(found - dense) / torch.linalg.norm(dense)))
    return max(errors)


def _dense(adapter: LoraAdapter, name: str) -> Tensor:
    layer = next(layer for layer in adapter.spec.layers if layer.name == name)
    product = adapter.up[name].double() @ adapter.down[name].double()
    return adapter.spec.scaling(layer) * product


def draw_near(spec: AdapterSpec) -> tuple[LoraAdapter, LoraAdapter]:
    """A random adapter, and another near it that both sides hold, for codecs of differences."""
    before, after = draw(spec, 0), draw(spec, 1)
    return after, LoraAdapter.from_flat(spec, after.flatten() + 0.1 * before.flatten())


def draw(spec: AdapterSpec, seed: int) -> LoraAdapter:
    """A random adapter of the size of a trained one."""
    generator = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(spec, 0.02 * torch.randn(spec.size, generator=generator))
