"""What a run has spent of its privacy budgets, by what its folder says of who took part."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.config import RunConfig
from fedlora.config.privacy import Budget, ExamplePrivacy
from fedlora.privacy.accounting import (
    Noisy,
    Steps,
    composed,
    epsilon,
    gaussian_epsilon,
    noise_multiplier,
)
from fedlora.privacy.planning import TURNS, taken

MOST = 8
"""Different histories of clients that are accounted for; of more, the budget itself is told."""

Lines = Sequence[Mapping[str, Any]]


def spent(config: RunConfig, seeds: Sequence[tuple[Lines, Lines]]) -> list[dict[str, Any]]:
    """For each budget, the most that any example or client has spent.

    A client that was asked counts, answered or not: what it sent may have been seen. Whoever took
    part in every round has spent the budget, who was chosen for fewer has spent less.

    seeds: of each that is finished, the lines of its metrics and of what was lost.

    Returns:
        One entry for each budget: what it protects, epsilon, delta, and the budget's epsilon. Where
        adapters and task vectors have one each, another tells what an example has spent on both,
        the sum of epsilons and of deltas (basic composition, Dwork and Roth 2014, theorem 3.16,
        doi 10.1561/0400000042): whoever sees both, or what is generated from both, is bound by it.
    """
    privacy = config.privacy
    if privacy is None:
        return []
    found: list[tuple[Budget, float]] = []
    if privacy.examples:
        found.append((privacy.examples, _of_examples(config, privacy.examples, seeds)))
    if privacy.task_vector:
        used = gaussian_epsilon(privacy.task_vector, len(seeds), len(config.seeds))
        found.append((privacy.task_vector, used))
    if privacy.clients:
        rounds = config.warm_start.rounds
        noise = noise_multiplier(privacy.clients, [Steps(1.0, rounds * len(config.seeds))])
        used = epsilon(noise, [Steps(1.0, rounds * len(seeds))], privacy.clients.delta)
        found.append((privacy.clients, used))
    told: list[dict[str, Any]] = [
        {
            "protects": budget.key.removeprefix("privacy."),
            "epsilon": used,
            "delta": budget.delta,
            "budget": budget.epsilon,
        }
        for budget, used in found
    ]
    if privacy.examples and privacy.task_vector:
        sums = {key: told[0][key] + told[1][key] for key in ("epsilon", "delta", "budget")}
        told.insert(2, {"protects": "together", **sums})
    return told


def _of_examples(
    config: RunConfig, budget: ExamplePrivacy, seeds: Sequence[tuple[Lines, Lines]]
) -> float:
    """Of the adapters, the most over all clients."""
    histories: dict[int, list[Noisy]] = defaultdict(list)
    for metrics, lost in seeds:
        known = {line["client"]: line for line in metrics if _is_account(line)}
        for client, turns in _turns(metrics, lost).items():
            if client not in known:  # whatever it sent was as noisy as the budget asks for
                return budget.epsilon
            line = known[client]
            steps = taken(config, line["examples"], turns)
            histories[client] += [Noisy(line["noise"], each) for each in steps]
    different = {tuple(history) for history in histories.values()}
    if len(different) > MOST:
        return budget.epsilon
    used = max((composed(history, budget.delta) for history in different), default=0.0)
    return min(used, budget.epsilon)


def _is_account(line: Mapping[str, Any]) -> bool:
    """Whether a client says of how many examples it learned, and with what noise."""
    noise, examples = line.get("noise"), line.get("examples")
    return (
        isinstance(noise, float) and 0 < noise < math.inf and type(examples) is int and examples > 0
    )


def _turns(metrics: Lines, lost: Lines) -> dict[int, dict[str, int]]:
    """How often each client was asked to train in each phase."""
    asked = {
        (line["client"], line["phase"], line["round"])
        for line in (*metrics, *lost)
        if line.get("phase") in TURNS and "client" in line
    }
    found: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(TURNS, 0))
    for client, phase, _ in asked:
        found[client][phase] += 1
    return found
