"""One bank of a family, and what every method and policy is worth to every newcomer."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from fedlora.adapter import LoraAdapter
from fedlora.adoption.chosen import MIX
from fedlora.bench.generator import calibration, curves, ways
from fedlora.bench.generator.copies import copies, mean_copies
from fedlora.bench.generator.curves import LEARNED, PLAIN
from fedlora.bench.generator.families import Family
from fedlora.bench.generator.side import Side
from fedlora.bench.generator.walks import walks
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.nearest import Nearest
from fedlora.server.offering import Offering
from fedlora.server.serving import make_candidates

COUNTS = (1, 2, 3, 4, 6, 8, 16)
METRICS = {"": "plain", LEARNED: "learned"}
TEMPERATURES = {"": 1.0, ", sharp": 0.3}
"""Of the weights of neighbours; one neighbour has none."""
NEIGHBOURS: dict[str, dict[str, Any]] = {
    f"top-{k}{metric}{spread}": {
        "name": "topk",
        "k": k,
        "temperature": TEMPERATURES[spread],
        "metric": METRICS[metric],
    }
    for k, metric, spread in product(COUNTS, METRICS, TEMPERATURES)
    if k > 1 or not spread
}
RETRIEVAL = ("top-k chosen on the bank", *NEIGHBOURS)
"""The best of these is chosen in hindsight, on the newcomers that it is judged by."""

PARTS: dict[str, dict[str, Any]] = {
    "mean": {"name": "mean"},
    "ridge": {"name": "ridge"},
    "kriging": {"name": "kriging"},
    f"kriging{PLAIN}": {"name": "kriging", "metric": "plain"},
    "kriging chosen on the bank": {"name": "kriging", "noise": None, "metric": None},
    "corrected": {"name": "corrected"},
    "cvae": {"name": "cvae"},
    RETRIEVAL[0]: {"name": "topk", "k": None, "metric": None},
    **NEIGHBOURS,
}
COMPOSED = {"compositional": {"name": "compositional"}}
CHOSEN = "chosen by trial"
"""Whatever wins the bank's own trial: what the library serves with by default."""
GUARDED = "kriging, guarded"
"""Where a task is beyond the bank's reach, the nearest task's adapter; as policy `guarded`."""
AFTER = ("kriging", *RETRIEVAL)
"""Of these, what they are worth on a bank whose clients began from what had grown."""
LEARNED_AGAIN = ("kriging", "top-1", "top-3")
"""Of these alone, where something else than kriging grew."""
LISTENING = ("kriging", "cvae")
"""Of these, what they make of another newcomer's task vector, and of one drawn at random."""
WALKED = (*LISTENING, "top-1", "top-3")
"""Of these, what they make between one task of the bank and the next."""

Row = dict[str, Any]


def rivals(family: Family) -> dict[str, dict[str, Any]]:
    """Generators by name, each a section, that learn from the banks of a family."""
    return PARTS | (COMPOSED if family.composed else {})


def measure(family: Family, seed: int) -> Row:
    """What a case came to.

    newcomers: a row each; more is better.
    methods: seconds and bytes by method. copies: by method. errors: of kriging, foretold and real.
    walks: by method. foreign: of each newcomer, whether the guard calls it so. curves: rows.
    chosen: by way, the method that won the trial.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plain = _opened(family, seed, None, Path(scratch))
        learned, costs = learn_all(plain, rivals(family))
        made: dict[str, list[LoraAdapter]] = {**plain.alone()}
        made |= {name: plain.sample(generator) for name, generator in learned.items()}
        for method in LISTENING:
            made[f"{method}, shuffled"] = plain.sample(learned[method], plain.others())
            made[f"{method}, random"] = plain.sample(learned[method], plain.drawn())
        walked = walks(plain, learned, WALKED)
        foreign = plain.foreign()
        made[GUARDED] = [
            near if beyond else own
            for own, near, beyond in zip(made["kriging"], made["top-1"], foreign, strict=True)
        ]
        won, best = plain.tried()
        made[CHOSEN] = plain.sample(plain.fitted(best))
        chosen = {"plain": best, "plain with labels": won}
        values = {method: plain.reached(adapters) for method, adapters in made.items()}
        shown = mean_copies(copies(plain.bank.adapters, made, made["local"]))
        errors = calibration.errors(plain, learned["kriging"], made["kriging"], made["local"])
        more = curves.measure(plain, family)
        adopted = _adopted(plain, learned, family, None, won)
        for way in family.growth:
            side = _opened(family, seed, way, Path(scratch))
            assert side.grown is not None
            other = side.sample(side.grown, side.others())
            own = {way: side.sample(side.grown), f"{way}, shuffled": other}
            begun = list(side.begun.values())
            shown |= mean_copies(copies(begun, own, made["local"]))
            again = AFTER if way == ways.GROWN else LEARNED_AGAIN
            learned = side.learn({name: PARTS[name] for name in again})
            more_made = _after(side, learned, way)
            walked |= {
                after(method, way): row for method, row in walks(side, learned, AFTER[:1]).items()
            }
            won, best = side.tried()
            more_made[after(CHOSEN, way)] = side.sample(side.fitted(best))
            chosen |= {way: best, f"{way} with labels": won}
            costs |= {name: dict(ways.plain_bytes(side)) for name in (way, *more_made)}
            shown |= mean_copies(copies(side.bank.adapters, more_made, made["local"]))
            values |= {m: side.reached(adapters) for m, adapters in (own | more_made).items()}
            if way == ways.GROWN:
                adopted |= _adopted(side, learned, family, way, won)
        values |= {name: found.values for name, found in adopted.items()}
        costs |= {name: _cost(found) for name, found in adopted.items()}
    return {
        "newcomers": newcomer_rows(family, plain.tasks, values),
        "methods": costs,
        "copies": shown,
        "errors": errors,
        "walks": walked,
        "foreign": foreign,
        "curves": more,
        "chosen": chosen,
    }


def _opened(family: Family, seed: int, way: str | None, scratch: Path) -> Side:
    folder = scratch / (way or "plain")
    folder.mkdir()
    return Side(family.config(seed, way), folder)


def learn_all(
    side: Side, parts: Mapping[str, dict[str, Any]], bank: TrainingBank | None = None
) -> tuple[dict[str, Generator], dict[str, Row]]:
    """Generators fitted to the side's bank, or to another, and what each of them costs."""
    learned, costs = dict[str, Generator](), dict[str, Row]()
    for name, part in parts.items():
        began = time.perf_counter()
        learned |= side.learn({name: part}, bank)
        seconds = time.perf_counter() - began
        learned[name].save(side.context.folder / "saved" / name)
        stored = size_of(side.context.folder / "saved" / name)
        costs[name] = {"fit seconds": seconds, "stored": stored, **ways.plain_bytes(side)}
    return learned, costs


def _after(side: Side, learned: Mapping[str, Generator], way: str) -> dict[str, list[LoraAdapter]]:
    """What is made of the bank that clients filled who fine-tuned from what had grown."""
    made = {after(name, way): side.sample(generator) for name, generator in learned.items()}
    made[f"{after('kriging', way)}, shuffled"] = side.sample(learned["kriging"], side.others())
    return made


def after(method: str, way: str) -> str:
    """The name of a method that learned from the bank of a side that had grown."""
    return f"{method} after {way}"


def _adopted(
    side: Side,
    learned: Mapping[str, Generator],
    family: Family,
    way: str | None,
    won: str,
) -> dict[str, ways.Adopted]:
    """Every policy at every number of labels, by "POLICY at N" or "POLICY after WAY at N"."""
    served = {"generated": learned["kriging"], "topk": learned["top-3"]}
    if won not in served and won != MIX:
        served[won] = side.fitted(won)
    candidates = make_candidates(side.context, served, side.warm, side.newcomers)
    context = side.context
    prompts = context.config.task_vector.prompts
    offering = Offering(
        served,
        seed=context.seed,
        prompts=prompts,
        rank=context.config.lora.rank,
        nearest=Nearest.of(side.bank, prompts, context.folder / "checkpoints" / "nearest"),
        candidates=candidates,
        chosen=won,
    )
    drawn = {"generated": learned["cvae"].drawing()} if "cvae" in learned else served
    drawing = replace(offering, learned=drawn, candidates={})
    epochs, batch = family.finetune["epochs"], family.finetune["batch_size"]
    examples = side.client.desk(side.newcomers[0].seat.client).examples
    return {
        f"{after(policy, way) if way else policy} at {count}": ways.adopt(
            side,
            drawing if policy == ways.BEST else offering,
            ways.way(policy, count, epochs, examples, batch),
        )
        for count in family.labels
        for policy in ways.policies_at(count, grown=way is not None)
    }


def _cost(found: ways.Adopted) -> Row:
    return {name: value for name, value in asdict(found).items() if name != "values"}


def newcomer_rows(family: Family, tasks: list[str], values: dict[str, list[float]]) -> list[Row]:
    """`inside`: within the range of the bank's tasks."""
    inside = len(tasks) - round(family.tasks.get("out_of_range", 0) * len(tasks))
    return [
        {
            "task": task,
            "inside": place < inside,
            **{method: found[place] for method, found in values.items()},
        }
        for place, task in enumerate(tasks)
    ]


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
