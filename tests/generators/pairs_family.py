"""A family of pairs whose truth is known: an effect of each level, and pairs that no bank holds."""

import itertools

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.generators.contract import TrainingBank
from tests.generators.linear_family import FEATURES, SPEC, Family


def pairs_family(rows: int = 6, columns: int = 5, held_out: int = 8, seed: int = 0) -> Family:
    """up = up_0 + up_a + up_b for levels a and b, with noise of 0.3 in every factor of an adapter.

    The condition is a crooked picture of the pair: tanh(e_a + e_b) + sin(e_a e_b) / 5.
    """
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    base = LoraAdapter.from_flat(SPEC, normal(SPEC.size))
    one = [LoraAdapter.from_flat(SPEC, normal(SPEC.size)) for _ in range(rows)]
    two = [LoraAdapter.from_flat(SPEC, normal(SPEC.size)) for _ in range(columns)]
    places = normal(rows, FEATURES), normal(columns, FEATURES)
    pairs = list(itertools.product(range(rows), range(columns)))
    order = torch.randperm(len(pairs), generator=draw).tolist()
    known, unseen = [pairs[i] for i in order[held_out:]], [pairs[i] for i in order[:held_out]]

    def truth(a: int, b: int) -> LoraAdapter:
        ups = {name: base.up[name] + one[a].up[name] + two[b].up[name] for name in base.up}
        return LoraAdapter(SPEC, base.down, ups, base.head)

    def seen(a: int, b: int) -> Tensor:
        crooked = torch.tanh(places[0][a] + places[1][b])
        return crooked + torch.sin(places[0][a] * places[1][b]) / 5 + 0.05 * normal(FEATURES)

    noisy = [truth(*pair).flatten() + 0.3 * normal(SPEC.size) for pair in known]
    return Family(
        bank=TrainingBank(
            [LoraAdapter.from_flat(SPEC, flat) for flat in noisy],
            torch.stack([seen(*pair) for pair in known]),
            [f"row={a},column={b}" for a, b in known],
        ),
        held_out=torch.stack([seen(*pair) for pair in unseen]),
        truth=[truth(*pair) for pair in unseen],
    )
