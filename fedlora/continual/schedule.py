"""Who works at which task when: one order and pace for all clients, or each its own."""

from typing import Literal

import numpy as np

from fedlora import seeding
from fedlora.errors import FedloraError

Order = Literal["same", "shuffled"]
Pace = Literal["same", "mixed"]

SLOW = 2
"""A slow client takes a new task at every second step."""


def schedule(tasks: int, clients: int, order: Order, pace: Pace, seed: int) -> list[dict[int, int]]:
    """For each step of a stream, client -> the task that it works at; who waits is left out.

    Every client meets every task once. With `shuffled`, each has an order of its own; with
    `mixed`, every second client, by the seed, is slow, and the stream takes twice as many steps.

    Raises:
        FedloraError: the stream has fewer than two tasks.
    """
    if tasks < 2:
        raise FedloraError(f"tasks: a stream of {tasks} task; give it two or more")
    orders = [np.arange(tasks)] * clients
    if order == "shuffled":
        orders = [
            np.random.default_rng(seeding.derive(seed, "order of", client)).permutation(tasks)
            for client in range(clients)
        ]
    paces = [1] * clients
    if pace == "mixed":
        drawn = np.random.default_rng(seeding.derive(seed, "paces")).permutation(clients)
        paces = [SLOW if rank % 2 else 1 for rank in drawn.tolist()]
    steps: list[dict[int, int]] = [{} for _ in range(1 + (tasks - 1) * max(paces))]
    for client, (own, every) in enumerate(zip(orders, paces, strict=True)):
        for place, task in enumerate(own.tolist()):
            steps[place * every][client] = task
    return [step for step in steps if step]
