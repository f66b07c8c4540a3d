"""Which streams are lived: those that thresholds are chosen by, then those that are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from fedlora.bench.inflora.families import Entry, Family
from fedlora.bench.inflora.streams import Case

Rows = Sequence[Mapping[str, Any]]

THRESHOLDS = (0.95, 0.99, 0.999)
"""Shares of the features' energy that are tried of every method that keeps a space."""

CLIENTS, ROUNDS = 5, 5
"""Of a federation; its rounds together have the epochs of one machine."""

EVERYWHERE = ("inflora", "seq_lora")
MILDEST = ("replay", "frozen")
"""Methods of a federation at every skew, and those at the mildest alone."""

Chosen = Mapping[str, float | None]
"""The threshold of each method, by its label; None where it has none."""


def tuning(family: Family, seeds: Sequence[int]) -> list[Case]:
    """Every method that keeps a space, at every threshold."""
    return [
        _alone(family, entry, seed, threshold)
        for entry, seed, threshold in product(family.methods, seeds, THRESHOLDS)
        if entry.space
    ]


def choose(family: Family, rows: Rows) -> dict[str, float | None]:
    """The thresholds of the best mean validation accuracy, the lowest of equals."""
    return {e.label: _best(e, rows) if e.space else None for e in family.methods}


def central(family: Family, seeds: Sequence[int], chosen: Chosen) -> list[Case]:
    """Every method as chosen, on one machine."""
    return [
        _alone(family, entry, seed, chosen[entry.label])
        for entry, seed in product(family.methods, seeds)
    ]


def federated(
    family: Family, seeds: Sequence[int], chosen: Chosen, betas: Sequence[float]
) -> list[Case]:
    """InfLoRA and what it is compared with, dealt by Dirichlet betas.

    A client's batch is its share of a batch on one machine, so that as many steps are taken, on
    as many examples, as there.
    """
    epochs, batch = family.train["epochs"] // ROUNDS, family.train["batch_size"] // CLIENTS
    shared = replace(family, train={**family.train, "epochs": epochs, "batch_size": batch})
    places = [*product(EVERYWHERE, betas), *product(MILDEST, [max(betas)])]
    return [
        Case(shared, label, label, seed, chosen.get(label), False, CLIENTS, ROUNDS, beta)
        for (label, beta), seed in product(places, seeds)
    ]


def _alone(family: Family, entry: Entry, seed: int, threshold: float | None) -> Case:
    return Case(family, entry.label, entry.method, seed, threshold, entry.aligned)


def _best(entry: Entry, rows: Rows) -> float:
    key = "validation_among_final" if entry.aligned else "validation_within_final"

    def score(threshold: float) -> float:
        found = [
            float(row[key])
            for row in rows
            if (row["method"], row["threshold"]) == (entry.label, threshold)
        ]
        return sum(found) / len(found)

    return max(THRESHOLDS, key=score)
