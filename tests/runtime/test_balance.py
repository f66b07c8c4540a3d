import itertools
import random

import pytest

from fedlora.runtime.balance import longest_first
from fedlora.wire.exchange import Request


def placed(work, nodes):
    """Clients of each node, in the order in which it gets them."""
    requests = [Request(client, b"", amount) for client, amount in enumerate(work)]
    found = {node: [] for node in nodes}
    for node, request in longest_first(requests, nodes):
        found[node].append(request.client)
    return found


def test_equal_clients_are_dealt_in_turn():
    assert placed([1.0] * 7, [30, 10]) == {30: [0, 2, 4, 6], 10: [1, 3, 5]}


def test_the_longest_come_first_and_fill_the_emptiest_node():
    assert placed([5, 1, 9, 4, 3], [0, 1]) == {0: [2, 4], 1: [0, 3, 1]}


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_is_shorter_by_more_than_a_quarter(seed):
    draw = random.Random(seed)
    work = [draw.lognormvariate(0, 1.0) for _ in range(draw.randint(2, 7))]
    nodes = list(range(draw.randint(2, 3)))

    found = placed(work, nodes)

    longest = max(sum(work[client] for client in own) for own in found.values())
    shortest = min(
        max(sum(w for w, at in zip(work, places, strict=True) if at == node) for node in nodes)
        for places in itertools.product(nodes, repeat=len(work))
    )
    assert longest <= 4 / 3 * shortest + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_no_node_has_more_than_the_rule_allows(seed):
    draw = random.Random(seed)
    work = [draw.lognormvariate(0, 1.5) for _ in range(draw.randint(1, 60))]
    nodes = list(range(draw.randint(1, 8)))

    found = placed(work, nodes)

    assert sorted(client for own in found.values() for client in own) == list(range(len(work)))
    most = max(sum(work[client] for client in own) for own in found.values())
    shortest = max(*work, sum(work) / len(nodes))  # no schedule is shorter
    # Graham's list bound, whatever the optimum is
    assert most <= sum(work) / len(nodes) + (1 - 1 / len(nodes)) * max(work) + 1e-9
    assert most <= 2 * shortest
