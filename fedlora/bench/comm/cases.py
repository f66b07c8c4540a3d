"""What is compared: methods of aggregation, codecs, and the federations they run in."""

from pathlib import Path
from typing import Any

from fedlora import config as configuration
from fedlora.config import RunConfig

VISION = Path("configs/bench_comm.yaml")

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


def vision(**changes: Any) -> RunConfig:
    """The vision federation with whole sections or single keys of them replaced."""
    raw = configuration.load(VISION).model_dump(mode="json")
    for section, value in changes.items():
        merge = isinstance(value, dict) and section not in ("codec", "codec_up")
        raw[section] = {**raw[section], **value} if merge else value
    return configuration.from_dict(raw, origin=str(VISION))


def method(name: str, ranks: list[int] | None) -> RunConfig:
    """A method among clients of these ranks; all of `lora.rank` when None."""
    return vision(
        lora={"ranks": ranks, "rank": max(ranks or [4])},
        warm_start={"aggregation": {"name": name}},
    )


def codec(name: str) -> RunConfig:
    """A codec, on fedavg of one rank."""
    plain = {"aggregation": {"name": "fedavg"}}
    return vision(lora={"ranks": None}, warm_start=plain, **CODECS[name])
