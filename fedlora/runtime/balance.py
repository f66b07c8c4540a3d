"""Which node of a simulation answers which request, so that all are done at about the same time."""

from collections.abc import Iterator, Sequence

from fedlora.wire.exchange import Request


def longest_first(
    requests: Sequence[Request], nodes: Sequence[int]
) -> Iterator[tuple[int, Request]]:
    """Each request with its node: the one with the most work next, to the node with the least.

    The longest-processing-time rule, at most 4/3 of the shortest time possible (Graham 1969,
    Bounds on multiprocessing timing anomalies). It looks at the predicted work alone, so that the
    same requests go to the same nodes in every run.
    """
    given = dict.fromkeys(nodes, 0.0)
    for request in sorted(requests, key=lambda request: (-request.work, request.client)):
        node = min(given, key=given.__getitem__)
        given[node] += request.work
        yield node, request
