"""What is compared: methods of aggregation, codecs, full fine-tuning, and fedlora's own route."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fedlora.bench.comm.families import Family
from fedlora.config import RunConfig

Table = Literal["codec", "mixed", "one rank", "full", "route"]
TABLES: tuple[Table, ...] = ("codec", "mixed", "one rank", "full", "route")

ONE_RANK = (
    "fedavg",
    "fedprox",
    "scaffold",
    "fedadam",
    "fedyogi",
    "fedex",
    "ffa",
    "fedsa",
    "rolora",
)
MIXED = ("flexlora", "flora", "product", "hetlora")
SMALLEST = "fedavg at the smallest rank"
"""What is left to averaging of factors where ranks differ."""

TOPK: dict[str, Any] = {"name": "topk", "fraction": 0.1, "inner": {"name": "int8"}}
CODECS: dict[str, dict[str, Any]] = {
    "none": {"codec": {"name": "none"}},
    "fp16": {"codec": {"name": "fp16"}},
    "bf16": {"codec": {"name": "bf16"}},
    "int8": {"codec": {"name": "int8"}},
    "int4": {"codec": {"name": "int4"}},
    "nf4": {"codec": {"name": "nf4"}},
    "lowrank 2": {"codec": {"name": "lowrank", "rank": 2}},
    "zstd of bf16": {"codec": {"name": "zstd", "planes": 2, "inner": {"name": "bf16"}}},
    "int8 down, top-k of the difference up": {
        "codec": {"name": "int8"},
        "codec_up": {"name": "delta", "inner": TOPK},
    },
    "int8 down, int4 of the difference up": {
        "codec": {"name": "int8"},
        "codec_up": {"name": "delta", "inner": {"name": "int4"}},
    },
}
"""Each on fedavg of one rank: sections of the configuration."""

FULL = "full fine-tuning"
ROUTE = "generated"

NAMES: Mapping[Table, tuple[str, ...]] = {
    "codec": tuple(CODECS),
    "mixed": (*MIXED, SMALLEST),
    "one rank": ONE_RANK,
    "full": (FULL,),
    "route": (ROUTE,),
}


@dataclass(frozen=True)
class Case:
    """One federation to live through."""

    family: Family
    table: Table
    what: str
    seed: int

    @property
    def name(self) -> str:
        """Of the file that keeps what it came to."""
        words = f"{self.family.name} {self.table} {self.what} {self.seed}"
        return re.sub(r"[^a-z0-9]+", "-", words.lower())

    @property
    def config(self) -> RunConfig:
        """Of its rounds; those of `route` are the rounds that a newcomer could take part in."""
        if self.table == "codec":
            return method(self.family, "fedavg", None, **CODECS[self.what])
        if self.table == "mixed":
            return mixed(self.family, self.what)
        if self.table == "one rank":
            return method(self.family, self.what, None)
        if self.table == "full":
            return method(self.family, "fedavg", None, lora={"head": self.family.head})
        return method(self.family, "fedavg", None, **ALONE, **self.family.route)


ALONE = {"shards": {"per_task": 1}}
"""A task a client: what newcomers bring, and what a generator learns from."""


def cases(family: Family, tables: Iterable[Table], seeds: int) -> list[Case]:
    """All federations of some tables, each seed of a name after the other."""
    count = min(family.seeds, seeds)
    return [
        Case(family, table, what, seed)
        for table in tables
        for what in NAMES[table]
        for seed in range(count)
    ]


def method(family: Family, name: str, ranks: tuple[int, ...] | None, **sections: Any) -> RunConfig:
    """A method among clients of these ranks; all of `lora.rank` when None."""
    lora = {"ranks": ranks, **({"rank": max(ranks)} if ranks else {}), **sections.pop("lora", {})}
    rounds = {"aggregation": {"name": name}, **sections.pop("warm_start", {})}
    return family.run(lora=lora, warm_start=rounds, **sections)


def mixed(family: Family, name: str) -> RunConfig:
    """A method among clients of the family's ranks, or averaging at the least of them."""
    ranks = family.run().lora.ranks or ()
    if name == SMALLEST:
        return method(family, "fedavg", (min(ranks),))
    return method(family, name, tuple(ranks))


def generating(family: Family) -> RunConfig:
    """The run that generates for newcomers after fewer rounds of the same clients."""
    rounds = {"rounds": family.rounds, "score": False}
    return method(family, "fedavg", None, warm_start=rounds, **ALONE, **family.route)
