"""Whether generated adapters are copies, and whether they are as strong as trained ones."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.adapter.product import cross_gram
from fedlora.bench.generator.side import Side

Copies = dict[str, dict[str, float | None]]


def copies(
    bank: Sequence[LoraAdapter],
    made: Mapping[str, Sequence[LoraAdapter]],
    trained: Sequence[LoraAdapter],
) -> list[Copies]:
    """Of each newcomer, by method, what its adapter is like in product space.

    nearest: distance to the nearest adapter of the bank, in the mean distance of a bank's adapter
        to its own nearest (arXiv 2506.07998): 0 is a lookup, 1 as new as the bank's are to each
        other.
    norm, rank: Frobenius norm and effective rank, as shares of those of the newcomer's own trained
        adapter; None where that changes nothing.

    Args:
        bank: n adapters.
        made: m adapters by method, one for each newcomer.
        trained: the newcomers' own, m.
    """
    usual = float(_nearest(bank, bank, itself=True)[0].mean())
    sizes, ranks = _figures(trained)
    found: list[Copies] = [{} for _ in trained]
    for method, adapters in made.items():
        nearest = (_nearest(adapters, bank)[0] / usual).tolist()
        own_sizes, own_ranks = _figures(adapters)
        for place, one in enumerate(found):
            one[method] = {
                "nearest": nearest[place],
                "norm": own_sizes[place] / sizes[place] if sizes[place] else None,
                "rank": own_ranks[place] / ranks[place] if ranks[place] else None,
            }
    return found


def shared_mistakes(side: Side, adapters: Sequence[LoraAdapter]) -> float | None:
    """Of what an adapter or the bank's nearest to it gets wrong, how much both do (IoU), a mean.

    On the newcomers' test examples, one adapter for each newcomer; a lookup has 1, and what a
    newcomer's own adapter has is what tasks have in common (arXiv 2506.07998). None where nobody
    is ever wrong.
    """
    bank, shares = side.bank.adapters, list[float | None]()
    places = _nearest(adapters, bank)[1].tolist()
    for newcomer, adapter, place in zip(side.newcomers, adapters, places, strict=True):
        client = newcomer.seat.client
        own, theirs = side.mistakes(client, adapter), side.mistakes(client, bank[place])
        either = int((own | theirs).sum())
        shares.append(int((own & theirs).sum()) / either if either else None)
    return _mean(shares)


def _figures(adapters: Sequence[LoraAdapter]) -> tuple[list[float], list[float]]:
    """Norms and effective ranks."""
    grams = Grams.of(adapters)
    return grams.norms().tolist(), grams.effective_ranks().tolist()


def mean_copies(found: Sequence[Copies]) -> Copies:
    """The means over newcomers, of those that have a value, by method."""
    return {
        method: {name: _mean([one[method][name] for one in found]) for name in found[0][method]}
        for method in found[0]
    }


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _nearest(
    adapters: Sequence[LoraAdapter], bank: Sequence[LoraAdapter], itself: bool = False
) -> tuple[Tensor, Tensor]:
    """For each adapter how far the nearest of the bank is (m,), and its place; not itself."""
    own, theirs = (Grams.of(side).norms().square() for side in (adapters, bank))
    squares = own.unsqueeze(1) + theirs - 2 * cross_gram(adapters, bank)
    if itself:
        squares.fill_diagonal_(torch.inf)
    least, places = squares.min(1)
    return least.clamp_min(0.0).sqrt(), places
