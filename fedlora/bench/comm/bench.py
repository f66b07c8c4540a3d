"""Methods and codecs at equal bytes; exactness; what a message costs beside its floor."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.backbone import open_slot
from fedlora.bench.comm import cases
from fedlora.bench.comm.curve import Point, at_bytes, bytes_to, curve
from fedlora.bench.comm.exactness import seconds_of_svd, worst_errors
from fedlora.config import CodecPart, RunConfig
from fedlora.evaluation.table import interval
from fedlora.results import BenchResults, Claim, write_results
from fedlora.roster import seats
from fedlora.server.observer import Observer
from fedlora.wire.floor import exact_floor, seconds_on_link
from fedlora.wire.message import Message, encode, payload

COMMAND = "make bench-comm"
COSTS = {"int8": 0.3, "int4": 1.0}
"""Points of accuracy that a codec may cost."""

Curves = Mapping[str, Sequence[Sequence[Point]]]
"""By name, a curve a seed."""


def bench_comm(out: Path, observer: Observer, seeds: Sequence[int]) -> BenchResults:
    """Measure the claims of results/comm.json and write them, after each part again.

    Args:
        out: the results file.
        observer: told how far it is.
        seeds: of every federation.

    Raises:
        FedloraError: a round fails, or the results cannot be written.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    claims: list[Claim] = []
    rows: list[dict[str, Any]] = []

    def write() -> BenchResults:
        elapsed = time.perf_counter() - started
        return write_results(out, "comm", COMMAND, rows, claims, seeds, elapsed)

    observer.phase("exactness, messages, SVD", 3)
    for name, error in worst_errors().items():
        what = f"{name}: largest relative error against the dense average of products"
        claims.append(_claim("A1", what, error, "<=", 1e-6))
    observer.advance()
    claims += _messages()
    observer.advance()
    took = seconds_of_svd()
    claims.append(_claim("A6", "SVD of 100 clients, ViT-B/32, r 16", took, "<=", 10, "s"))
    observer.advance()
    write()
    for part in (_codecs, _mixed, _one_rank):
        found = part(observer, seeds)
        rows += found[0]
        claims += found[1]
        write()
    return write()


Part = tuple[list[dict[str, Any]], list[Claim]]


def _codecs(observer: Observer, seeds: Sequence[int]) -> Part:
    curves = _curves("codecs", cases.CODECS, cases.codec, observer, seeds)
    claims = []
    for name, target in COSTS.items():
        pairs = zip(curves["none"], curves[name], strict=True)
        lost = [100 * (plain[-1].value - coded[-1].value) for plain, coded in pairs]
        what = f"accuracy that {name} both ways costs after {len(curves[name][0]) - 1} rounds"
        claims.append(_interval_claim("A3", f"vision: {what}", lost, "<=", target, "points"))
    return list(_rows("codec", curves, _spec(cases.codec("none")))), claims


def _mixed(observer: Observer, seeds: Sequence[int]) -> Part:
    """Clients of ranks 1, 2 and 4; beside them fedavg at the rank that all of them have."""

    def config(name: str) -> RunConfig:
        return cases.method(*(("fedavg", [1]) if name == SMALLEST else (name, [1, 2, 4])))

    curves = _curves("mixed ranks", [*cases.MIXED, SMALLEST], config, observer, seeds)
    budget = min(each[-1].bytes for runs in curves.values() for each in runs)
    reached = {n: [at_bytes(each, budget) for each in runs] for n, runs in curves.items()}
    order = sorted(reached, key=lambda name: -sum(reached[name]))
    ahead = [100 * (a - b) for a, b in zip(reached[order[0]], reached[order[1]], strict=True)]
    what = f"{order[0]} ahead of {order[1]} on mixed non-IID ranks at {budget / 1e6:.2f} MB"
    claims = [_interval_claim("A2", what, ahead, ">=", 0, "points")]
    spec = _spec(cases.method("flexlora", [4]))
    rows = list(_rows("mixed", curves, spec, budget))
    return rows, claims


SMALLEST = "fedavg at rank 1"


def _one_rank(observer: Observer, seeds: Sequence[int]) -> Part:
    curves = _curves(
        "one rank", cases.ONE_RANK, lambda name: cases.method(name, None), observer, seeds
    )
    return list(_rows("one rank", curves, _spec(cases.method("fedavg", None)))), []


def _curves(
    title: str,
    names: Sequence[str] | Mapping[str, Any],
    config: Callable[[str], RunConfig],
    observer: Observer,
    seeds: Sequence[int],
) -> dict[str, list[list[Point]]]:
    observer.phase(title, len(names) * len(seeds))
    out: dict[str, list[list[Point]]] = {}
    for name in names:
        out[name] = []
        for seed in seeds:
            out[name].append(curve(config(name), seed))
            observer.advance()
    return out


def _rows(
    table: str, curves: Curves, spec: AdapterSpec, budget: int | None = None
) -> Iterator[dict[str, Any]]:
    """One row a name: accuracy at the end and at equal bytes, bytes, efficiency, time on a link.

    FlowerTune counts 2 x parameters x 4 bytes x clients x rounds, whatever travels.
    """
    runs = [each for found in curves.values() for each in found]
    same = budget or min(each[-1].bytes for each in runs)
    # What the first of the table reaches in the end, less a point, is what the others must reach.
    first = next(iter(curves.values()))
    goal = sum(each[-1].value for each in first) / len(first) - 0.01
    for name, found in curves.items():
        last = [each[-1] for each in found]
        rounds = last[0].rounds
        final, equal = (
            interval([point.value for point in last]),
            interval([at_bytes(each, same) for each in found]),
        )
        clients = _clients()
        total = sum(point.bytes for point in last) / len(last)
        up, down = (sum(getattr(p, way) for p in last) / len(last) for way in ("up", "down"))
        needed = [bytes_to(each, goal) for each in found]
        ideal = exact_floor(spec) * clients * 2 * rounds
        yield {
            "table": table,
            "name": name,
            "accuracy": final.mean,
            "low": final.low,
            "high": final.high,
            "at equal bytes": equal.mean,
            "equal low": equal.low,
            "equal high": equal.high,
            "up a round": round(up / rounds / clients),
            "down a round": round(down / rounds / clients),
            "MB": total / 1e6,
            "MB to the goal": _mean_of(needed),
            "floor / bytes": ideal / total,
            "FlowerTune's MB": 2 * 4 * spec.size * clients * rounds / 1e6,
            "link s a round": seconds_on_link(
                int(up / rounds / clients), int(down / rounds / clients)
            ),
        }


def _mean_of(needed: Sequence[int | None]) -> float | None:
    """Mean MB where every seed reaches the goal."""
    there = [each for each in needed if each is not None]
    return sum(there) / len(there) / 1e6 if len(there) == len(needed) else None


def _clients() -> int:
    return sum(seat.role == "bank" for seat in seats(cases.vision()))


def _spec(config: RunConfig) -> AdapterSpec:
    return open_slot(config.backbone, config.lora, config.runtime.device).spec


def _messages() -> list[Claim]:
    """Payload as a share of the serialised message, for adapters of 100 KB to 10 MB."""
    claims = []
    for blocks, width, rank in ((12, 768, 8), (24, 768, 8), (48, 768, 16)):
        layers = tuple(LayerSpec(f"block.{i:02}.query", width, width, rank) for i in range(blocks))
        spec = AdapterSpec("0" * 64, layers, alpha=2.0 * rank)
        adapter = LoraAdapter.from_flat(spec, torch.ones(spec.size))
        for name in ("none", "int8"):
            data = CodecPart(name=name).build().encode(adapter)
            message = Message(
                "train", {"adapter.trained": data}, {"task": "t" * 32, "curve": [1.0]}
            )
            share = payload(message) / len(encode(message))
            what = f"payload / serialised, {name}, {len(data) / 1e3:,.0f} KB"
            claims.append(_claim("A4", what, share, ">=", 0.99))
    return claims


def _claim(name: str, what: str, value: float, sense: str, target: float, unit: str = "") -> Claim:
    return Claim.model_validate(
        {"id": name, "what": what, "value": value, "unit": unit, "sense": sense, "target": target}
    )


def _interval_claim(
    name: str, what: str, values: Sequence[float], sense: str, target: float, unit: str
) -> Claim:
    found = interval(list(values))
    return _claim(name, what, found.mean, sense, target, unit).model_copy(
        update={"low": found.low, "high": found.high}
    )
