"""Server optimisers and control variates, against their equations."""

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.aggregation.contract import CONTROL, State
from fedlora.aggregation.flower_step import FIRST, SECOND
from fedlora.config import AggregatorPart

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 6, 5, 2),), 4.0)


def draw(seed: int) -> LoraAdapter:
    rng = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(SPEC, torch.randn(SPEC.size, generator=rng))


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_two_rounds_are_those_of_the_paper(name: str):
    eta, b1, b2, tau = 0.05, 0.8, 0.9, 1e-2
    part = AggregatorPart(name=name, eta=eta, beta_1=b1, beta_2=b2, tau=tau)
    state = State(1, draw(0), 2)
    x, m, v = draw(0).flatten().double(), torch.zeros(()), torch.zeros(())
    for round in (1, 2):
        sent = [draw(10 * round), draw(10 * round + 1)]
        # A new object each time: all that it knows must be in the state.
        state = part.build().aggregate(State(round, state.common, 2, state.extra), sent, [1, 3])
        delta = (sent[0].flatten() * 0.25 + sent[1].flatten() * 0.75).double() - x
        m = b1 * m + (1 - b1) * delta
        v = (
            b2 * v + (1 - b2) * delta**2
            if name == "fedadam"
            else v - (1 - b2) * delta**2 * torch.sign(v - delta**2)
        )
        rate = eta
        if name == "fedadam":
            rate = eta * (1 - b2 ** (round + 1)) ** 0.5 / (1 - b1 ** (round + 1))
        x = x + rate * m / (v.sqrt() + tau)

        assert torch.allclose(state.common.flatten().double(), x, atol=1e-5)
    assert set(state.extra) == {FIRST, SECOND}


def test_the_control_variate_moves_by_the_share_that_took_part():
    changes = [draw(1), draw(2)]
    method = AggregatorPart(name="scaffold").build()
    first = method.aggregate(State(0, draw(0), 8), [draw(3), draw(4)], [1, 1], changes)
    second = method.aggregate(State(1, first.common, 8, first.extra), [draw(5)], [1], [draw(6)])

    mean = (draw(1).flatten() + draw(2).flatten()) / 2
    assert torch.allclose(first.extra[CONTROL].flatten(), mean * 2 / 8, atol=1e-6)
    moved = second.extra[CONTROL].flatten() - first.extra[CONTROL].flatten()
    assert torch.allclose(moved, draw(6).flatten() / 8, atol=1e-6)
