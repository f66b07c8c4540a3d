"""The fewest bytes of a method's rounds, from what its duty has clients send and get."""

from collections.abc import Sequence

from fedlora.adapter import AdapterSpec
from fedlora.aggregation.contract import Aggregator
from fedlora.aggregation.fedex import at_most
from fedlora.wire.floor import exact_floor


def rounds_floor(method: Aggregator, specs: Sequence[AdapterSpec], rounds: int) -> int | None:
    """Bytes both ways of all clients in so many completed rounds, exactly in float32.

    What a round came to goes down with the next one's question, so the first sends none. Folds are
    of the ranks of all clients, less those of the adapter that comes beside, or of full rank where
    that is less. A control variate is no DeltaW: all of its values count. None where clients prune
    their adapters, as only they know to which ranks.

    specs: of the clients.
    """
    if method.duty(1).prunes:
        return None
    ranks = sum(spec.layers[0].rank for spec in specs)
    total = 0
    for round in range(1, rounds + 1):
        given, asked = method.duty(round), method.duty(round + 1)
        for spec in specs:
            total += exact_floor(spec, given.sends) + exact_floor(spec, asked.gets)
            total += 4 * spec.size * (given.controls + asked.controls)
            if given.folds:
                beside = spec.layers[0].rank if {"down", "up"} <= set(asked.gets) else 0
                total += exact_floor(at_most(spec, ranks - beside), ("down", "up"))
    return total
