"""Claims G1, G2 and G5: the gap closed without a label, against retrieval chosen in hindsight."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlora.adapter import LoraAdapter
from fedlora.bench.claims import interval_claim
from fedlora.bench.generator.copies import copies
from fedlora.bench.generator.families import FAMILIES, GROWTH, SEEDS, config
from fedlora.bench.generator.side import Side
from fedlora.evaluation.table import SMALLEST_GAP
from fedlora.generators.blend import Blend
from fedlora.generators.compositional import Compositional, CompositionalConfig
from fedlora.generators.contract import TrainingBank
from fedlora.generators.corrected import Corrected, CorrectedConfig
from fedlora.generators.kriging import Kriging, KrigingConfig
from fedlora.generators.mean import Mean, MeanConfig
from fedlora.generators.topk import TopK, TopKConfig
from fedlora.results import BenchResults, Claim, write_results
from fedlora.server.observer import Observer, Silent

COMMAND = "make bench-generator"
COUNTS = (1, 2, 3, 4, 6)
TARGETS = {"rotation x shear x inversion": 0.7}
Rows = list[dict[str, Any]]


def bench_generator(
    out: Path,
    observer: Observer,
    families: Sequence[str] = tuple(FAMILIES),
    seeds: Sequence[int] = SEEDS,
) -> BenchResults:
    """Measure the families one after another; what is done is written after every bank.

    Raises:
        FedloraError: a federation fails, or the results cannot be written.
    """
    started = time.perf_counter()
    rows: Rows = []
    claims: list[Claim] = []
    observer.phase("banks", len(families) * len(seeds))
    for family in families:
        before = claims
        for seed in seeds:
            rows += measure(family, seed)
            observer.advance()
            claims = before + judge([row for row in rows if row["family"] == family], family)
            elapsed = time.perf_counter() - started
            used = sorted({row["seed"] for row in rows})
            results = write_results(out, "generator", COMMAND, rows, claims, used, elapsed)
    return results


def measure(family: str, seed: int) -> Rows:
    """One bank in each way, and every method on every newcomer."""
    with tempfile.TemporaryDirectory() as scratch:
        plain = Side(config(family, seed, None), Path(scratch, "plain"), Silent())
        assert plain.bank is not None
        made = {**plain.alone(), **_of_bank(plain, plain.bank, Path(scratch))}
        for way in GROWTH:
            side = Side(config(family, seed, way), Path(scratch, way), Silent())
            assert side.grown is not None
            made[way] = _sampled(side.grown, side)
            made[f"{way}, shuffled"] = _sampled(side.grown, side, shuffled=True)
        reached = {method: plain.reached(adapters) for method, adapters in made.items()}
        likeness = copies(plain.bank.adapters, made, made["local"])
    return [
        _row(family, seed, seat.task, {m: values[place] for m, values in reached.items()})
        | {"copies": likeness[place]}
        for place, seat in enumerate(plain.newcomers)
    ]


def judge(rows: Rows, family: str) -> list[Claim]:
    """The claims of one family from its rows; pairs are a newcomer of one bank."""
    rows = [row for row in rows if row["gap"]]
    if not rows:
        return []  # local training gains nothing on any task, so there is no share to claim
    best = max((f"top-{k}" for k in COUNTS), key=lambda m: sum(share(row, m) for row in rows))
    return [claim for way in GROWTH for claim in _of_way(rows, family, way, best)]


def _of_way(rows: Rows, family: str, way: str, best: str) -> list[Claim]:
    """What is claimed of one way to grow, beside the best retrieval."""
    closed = [share(row, way) for row in rows]
    beyond = [share(row, way) - share(row, best) for row in rows]
    shuffled = [share(row, f"{way}, shuffled") - share(row, "mean") for row in rows]
    at, on = f"{way}: ", f"on {family}"
    return [
        interval_claim(
            "G1", f"{at}share of the gap closed {on}", closed, ">=", TARGETS.get(family, 0.7)
        ),
        interval_claim(
            "G2", f"{at}more of it than {best}, best in hindsight, {on}", beyond, ">=", 0.05
        ),
        interval_claim("G5", f"{at}shuffled beyond the bank's mean {on}", shuffled, "<=", 0.0),
    ]


def share(row: Mapping[str, Any], method: str) -> float:
    """Of the gap between the base model and local training."""
    return float((row[method] - row["base"]) / (row["local"] - row["base"]))


def _of_bank(side: Side, bank: TrainingBank, scratch: Path) -> dict[str, list[LoraAdapter]]:
    """What is made of independently fine-tuned adapters."""
    kinds: dict[str, Blend] = {"mean": Mean(MeanConfig()), "kriging": Kriging(KrigingConfig())}
    kinds["compositional"] = Compositional(CompositionalConfig())
    kinds["corrected"] = Corrected(CorrectedConfig())
    kinds |= {f"top-{k}": TopK(TopKConfig(k=k, temperature=1.0)) for k in COUNTS}
    made = {}
    for name, generator in kinds.items():
        generator.fit(bank, seed=0, workdir=scratch / f"fit-{name}", progress=lambda _: None)
        made[name] = _sampled(generator, side)
    return made


def _sampled(generator: Blend, side: Side, shuffled: bool = False) -> list[LoraAdapter]:
    vectors = side.vectors.roll(1, 0) if shuffled else side.vectors
    return generator.sample(vectors, seed=0, rank=side.client.config.lora.rank)


def _row(family: str, seed: int, task: str, values: Mapping[str, float]) -> dict[str, Any]:
    """`gap` says whether local training gains enough for shares to mean something."""
    gap = values["local"] - values["base"] >= SMALLEST_GAP
    return {"family": family, "seed": seed, "task": task, "gap": gap, **values}
