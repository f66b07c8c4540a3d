"""What is compared: methods of aggregation, codecs, full fine-tuning, and fedlora's own route."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fedlora import config as configuration
from fedlora.aggregation.contract import Aggregator
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
    "flexlora",
    "flora",
)
MIXED = ("flexlora", "flora", "product", "hetlora")
PLAIN = "none"
"""The codec that changes nothing; under it, averaging of one rank."""
SMALLEST = "fedavg at the smallest rank"
"""What is left to averaging of factors where ranks differ."""

LOW_RANK = "lowrank 2, on flexlora"
"""On averaged factors it fails: the SVD of each client chooses a basis of its own."""

TOPK: dict[str, Any] = {"name": "topk", "fraction": 0.1, "inner": {"name": "int8"}}
CODECS: dict[str, dict[str, Any]] = {
    PLAIN: {"codec": {"name": "none"}},
    "fp16": {"codec": {"name": "fp16"}},
    "bf16": {"codec": {"name": "bf16"}},
    "int8": {"codec": {"name": "int8"}},
    "int4": {"codec": {"name": "int4"}},
    "nf4": {"codec": {"name": "nf4"}},
    LOW_RANK: {"codec": {"name": "lowrank", "rank": 2}},
    "zstd of bf16": {"codec": {"name": "zstd", "planes": 2, "inner": {"name": "bf16"}}},
    "zstd of bf16 of the difference": {
        "codec": {
            "name": "zstd",
            "planes": 2,
            "inner": {"name": "delta", "inner": {"name": "bf16"}},
        }
    },
    "int8 down, top-k of the difference up": {
        "codec": {"name": "int8"},
        "codec_up": {"name": "delta", "inner": TOPK},
    },
    "int8 down, int4 of the difference up": {
        "codec": {"name": "int8"},
        "codec_up": {"name": "delta", "inner": {"name": "int4"}},
    },
}
"""Each on fedavg of one rank, but for `LOW_RANK`: sections of the configuration."""

FULL = "full fine-tuning"
ROUTES = (PLAIN, "int8", "int4")
"""Codecs by which newcomers are served, and the rival sends.

Each costs what `route.live_route` says.
"""

NAMES: Mapping[Table, tuple[str, ...]] = {
    "codec": tuple(CODECS),
    "mixed": (*MIXED, SMALLEST),
    "one rank": ONE_RANK,
    "full": (FULL,),
    "route": ROUTES,
}


@dataclass(frozen=True)
class Case:
    """One federation to live through.

    times: the learning rate, as a multiple of the family's; for FedAdam and FedYogi that of the
        server, as a multiple of its default.
    elsewhere: on other tasks than those that are reported, to choose a rate by.
    """

    family: Family
    table: Table
    what: str
    seed: int
    times: float = 1.0
    elsewhere: bool = False

    @property
    def name(self) -> str:
        """Of the file that keeps what it came to."""
        words = f"{self.family.name} {self.table} {self.what} {self.seed} {self.times:.2f}"
        return re.sub(r"[^a-z0-9]+", "-", f"{words}{' elsewhere' * self.elsewhere}".lower())

    @property
    def config(self) -> RunConfig:
        """Of its rounds; those of `route` are the rounds that a newcomer could take part in."""
        planned = self._as_planned()
        raw = planned.model_dump(mode="json")
        aggregator: Aggregator = planned.warm_start.aggregation.build()
        own_rate = getattr(aggregator.config, "eta", None)
        if own_rate is None:
            raw["warm_start"]["train"]["learning_rate"] *= self.times
        else:
            raw["warm_start"]["aggregation"]["eta"] = own_rate * self.times
        if self.elsewhere:
            raw["tasks"] |= self.family.elsewhere
        return configuration.from_dict(raw, origin=str(self.family.config))

    def _as_planned(self) -> RunConfig:
        """At the family's own rate, on its own tasks."""
        if self.table == "codec":
            averaging = "flexlora" if self.what == LOW_RANK else "fedavg"
            return method(self.family, averaging, None, **CODECS[self.what])
        if self.table == "mixed":
            return mixed(self.family, self.what)
        if self.table == "one rank":
            return method(self.family, self.what, None)
        if self.table == "full":
            return method(self.family, "fedavg", None, lora={"head": self.family.head})
        sections = {**ALONE, **self.family.route, **CODECS[self.what]}
        rounds = {"rounds": self.family.rival}
        return method(self.family, "fedavg", None, **sections, warm_start=rounds)

    @property
    def full_rate(self) -> float:
        """Of full fine-tuning."""
        return self.family.full_rate * self.times


ALONE = {"shards": {"per_task": 1}}
"""A task a client: what newcomers bring, and what a generator learns from."""


Rates = Mapping[tuple[Table, str], float]
"""By table and name: the multiple of the family's learning rate that was chosen for it."""


def cases(
    family: Family, table: Table, what: str, seeds: int, rates: Rates | None = None
) -> list[Case]:
    """All federations of a name, at the rate that was chosen for it.

    Codecs and newcomers' rounds are on averaging of one rank, at its rate; that method itself is
    the codec that changes nothing, and is lived once. `LOW_RANK` has the rate of flexlora of one
    rank, which it is to be compared with.
    """
    tuned: tuple[Table, str] = (table, what)
    if table in ("codec", "route"):
        tuned = ("one rank", "flexlora" if what == LOW_RANK else "fedavg")
    if (table, what) == ("one rank", "fedavg"):
        table, what = "codec", PLAIN
    times = (rates or {}).get(tuned, 1.0)
    return [Case(family, table, what, seed, times) for seed in range(min(family.seeds, seeds))]


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


def generating(case: Case) -> RunConfig:
    """The run that generates for newcomers after fewer rounds of the same clients."""
    raw = case.config.model_dump(mode="json")
    raw["warm_start"] |= {"rounds": case.family.rounds, "score": False}
    raw["adoption"] = {"policy": {"name": "given"}}
    return configuration.from_dict(raw, origin=str(case.family.config))
