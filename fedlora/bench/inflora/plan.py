"""Which streams are lived: first those that settings are chosen by, then those that are judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from fedlora.bench.inflora.families import Family
from fedlora.bench.inflora.streams import Case, Recipe

Rows = Sequence[Mapping[str, Any]]

RATES = (5e-3, 1e-2)
"""Learning rates that are tried of every method."""

THRESHOLDS = (0.95, 0.99, 0.999)
"""Shares of the features' energy that are tried of every method that keeps a space."""

CLIENTS = 5
ROUNDS = (5, 10)
"""Rounds that are tried in a federation; together they have the epochs of one machine."""


@dataclass(frozen=True)
class Entry:
    """A method as the tables name it.

    space: whether it keeps one, so that it has a threshold.
    aligned: whether it tells the classes of all tasks apart, which it is then chosen by.
    """

    label: str
    method: str
    space: bool = False
    aligned: bool = False


METHODS = (
    Entry("seq_lora", "seq_lora"),
    Entry("inflora", "inflora", space=True),
    Entry("random_down", "random_down"),
    Entry("complement_only", "complement_only", space=True),
    Entry("subspace_only", "subspace_only"),
    Entry("replay", "replay"),
    Entry("frozen", "frozen"),
)
MORE = (
    Entry("olora", "olora"),
    Entry("inflora_ca", "inflora_ca", space=True, aligned=True),
    Entry("frozen_ca", "frozen", aligned=True),
    Entry("joint", "joint"),
)
FEDERATED = ("inflora", "seq_lora", "replay", "frozen")

Chosen = Mapping[str, Recipe]
"""Of each method, by its label."""


def methods(family: Family) -> tuple[Entry, ...]:
    """Those that live a family's stream."""
    return (*METHODS, *MORE) if family.aligned else METHODS


def tuning(family: Family, seeds: Sequence[int]) -> list[Case]:
    """Every method at every rate, and every threshold where it has one."""
    return [
        Case(family, entry.label, entry.method, seed, recipe, entry.aligned)
        for entry, seed in product(methods(family), seeds)
        for recipe in _recipes(entry)
    ]


def choose(family: Family, rows: Rows) -> dict[str, Recipe]:
    """Of each method, the recipe of the best mean validation accuracy; the first of equals."""
    return {entry.label: _best(family, entry, rows) for entry in methods(family)}


def central(family: Family, seeds: Sequence[int], chosen: Chosen) -> list[Case]:
    """Every method as chosen, on one machine."""
    return [
        Case(family, entry.label, entry.method, seed, chosen[entry.label], entry.aligned)
        for entry, seed in product(methods(family), seeds)
    ]


def shared(family: Family, label: str, seed: int, chosen: Chosen, beta: float, rounds: int) -> Case:
    """A method as chosen, in a federation.

    A client's batch is its share of a batch on one machine, so that as many steps are taken, on
    as many examples, as there.
    """
    epochs, batch = family.train["epochs"] // rounds, family.train["batch_size"] // CLIENTS
    place = replace(family, train={**family.train, "epochs": epochs, "batch_size": batch})
    recipe = chosen[label]
    return Case(place, label, label, seed, recipe, clients=CLIENTS, rounds=rounds, beta=beta)


def rounds_tried(family: Family, seeds: Sequence[int], chosen: Chosen, beta: float) -> list[Case]:
    """InfLoRA in a federation of some rounds."""
    return [
        shared(family, "inflora", seed, chosen, beta, rounds)
        for seed, rounds in product(seeds, ROUNDS)
    ]


def choose_rounds(rows: Rows) -> int:
    """Those of the best mean validation accuracy."""
    return max(ROUNDS, key=lambda n: _mean(r[KNOWN] for r in rows if r["rounds"] == n))


def federated(
    family: Family, seeds: Sequence[int], chosen: Chosen, betas: Sequence[float], rounds: int
) -> list[Case]:
    """InfLoRA and what it is compared with, dealt by each Dirichlet beta."""
    return [
        shared(family, label, seed, chosen, beta, rounds)
        for label, seed, beta in product(FEDERATED, seeds, betas)
    ]


KNOWN, UNKNOWN = "validation_within_final", "validation_among_final"
"""What is chosen by: accuracy with the task known, or among the classes of all."""


def _recipes(entry: Entry) -> Iterator[Recipe]:
    thresholds: Sequence[float | None] = THRESHOLDS if entry.space else (None,)
    for rate, threshold in product(RATES, thresholds):
        yield Recipe(rate, threshold)


def _best(family: Family, entry: Entry, rows: Rows) -> Recipe:
    key = UNKNOWN if entry.aligned else KNOWN

    def score(recipe: Recipe) -> float:
        return _mean(
            row[key]
            for row in rows
            if (row["family"], row["method"]) == (family.name, entry.label)
            and (row["learning_rate"], row["threshold"]) == (recipe.rate, recipe.threshold)
        )

    return max(_recipes(entry), key=score)


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
