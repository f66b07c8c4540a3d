import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.wire.floor import GIGABIT, HOME, exact_floor


def test_the_floor_is_the_dimension_of_matrices_of_a_rank():
    """The Jacobian of up @ down has as many independent columns as the floor counts values."""
    d_in, d_out, rank = 5, 4, 2
    spec = AdapterSpec("b", (LayerSpec("q", d_in, d_out, rank),), 4.0, head=(("bias", (3,)),))
    draw = torch.Generator().manual_seed(0)
    up = torch.randn(d_out, rank, generator=draw, dtype=torch.float64)
    down = torch.randn(rank, d_in, generator=draw, dtype=torch.float64)
    blocks = torch.autograd.functional.jacobian(lambda u, d: u @ d, (up, down))
    jacobian = torch.cat([block.reshape(d_out * d_in, -1) for block in blocks], 1)

    assert exact_floor(spec) == 4 * (int(torch.linalg.matrix_rank(jacobian)) + 3)
    assert exact_floor(spec, ("down", "up")) == exact_floor(spec) - 4 * 3


def test_a_factor_alone_has_no_choice_of_a_basis():
    spec = AdapterSpec("b", (LayerSpec("q", 5, 4, 2),), 4.0, head=(("bias", (3,)),))

    assert exact_floor(spec, ("up", "head")) == 4 * (2 * 4 + 3)
    assert exact_floor(spec, ("down",)) == 4 * 2 * 5
    assert exact_floor(spec, ("head",)) == 4 * 3


def test_a_slow_uplink_takes_its_time():
    assert HOME.seconds(0, 0) == pytest.approx(0.1)
    assert HOME.seconds(1_250_000, 0) == pytest.approx(1.1)
    assert HOME.seconds(0, 1_250_000) == pytest.approx(0.11)
    assert GIGABIT.seconds(1_250_000, 1_250_000) == pytest.approx(0.02)
