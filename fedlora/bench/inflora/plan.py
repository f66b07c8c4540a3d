"""Which streams are lived: those that thresholds are chosen by, then those that are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from fedlora.bench.inflora.families import Entry, Family
from fedlora.bench.inflora.streams import Case

Rows = Sequence[Mapping[str, Any]]

THRESHOLDS = (0.95, 0.99, 0.999)
"""Shares of the features' energy that are tried of every method that keeps a space."""

RATES = (0.01, 0.003, 0.001)
"""Learning rates that are tried of every class alignment; the first is the published one."""

CLIENTS, ROUNDS = 5, 5
"""Of a federation; its rounds together have the epochs of one machine."""

FEDERATED = ("inflora", "seq_lora", "replay", "frozen")
"""Methods of a federation, at every skew."""


class Choice(NamedTuple):
    """A threshold and an alignment's learning rate; None where a method has none."""

    threshold: float | None = None
    rate: float | None = None


Chosen = Mapping[str, Choice]
"""What each method is lived with, by its label."""


def tuning(family: Family, seeds: Sequence[int]) -> list[Case]:
    """Every method that keeps a space or aligns classes, at every threshold and rate."""
    return [
        _alone(family, entry, seed, choice)
        for entry, seed in product(family.methods, seeds)
        if len(choices(entry)) > 1
        for choice in choices(entry)
    ]


def choices(entry: Entry) -> list[Choice]:
    """What is tried of a method."""
    thresholds = THRESHOLDS if entry.space else (None,)
    rates = RATES if entry.aligned else (None,)
    return [Choice(*pair) for pair in product(thresholds, rates)]


def choose(family: Family, rows: Rows) -> dict[str, Choice]:
    """The choices of the best mean validation accuracy, the first of equals."""
    return {e.label: _best(e, rows) for e in family.methods}


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
    return [
        Case(shared, label, label, seed, *chosen.get(label, Choice()), CLIENTS, ROUNDS, beta)
        for label, beta, seed in product(FEDERATED, betas, seeds)
    ]


def _alone(family: Family, entry: Entry, seed: int, choice: Choice) -> Case:
    return Case(family, entry.label, entry.method, seed, *choice)


def _best(entry: Entry, rows: Rows) -> Choice:
    key = "validation_among_final" if entry.aligned else "validation_within_final"
    tried = choices(entry)

    def score(choice: Choice) -> float:
        place = (entry.label, choice.threshold, choice.rate)
        found = [
            float(row[key])
            for row in rows
            if (row["method"], row["threshold"], row["align_rate"]) == place
        ]
        return sum(found) / len(found)

    return max(tried, key=score) if len(tried) > 1 else tried[0]
