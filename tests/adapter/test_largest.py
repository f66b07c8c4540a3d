"""The largest singular triplets against the whole SVD."""

import pytest
import torch
from torch import Tensor

from fedlora.adapter import largest as module
from fedlora.adapter.largest import CONDITION, LEAST, largest


def with_values(values: Tensor, rows: int, columns: int) -> Tensor:
    """A matrix of these singular values, float64."""
    draw = torch.Generator().manual_seed(0)
    ends = (
        torch.randn(size, len(values), dtype=torch.float64, generator=draw)
        for size in (rows, columns)
    )
    left, right = (torch.linalg.qr(each).Q for each in ends)
    return left * values.double() @ right.T


def rebuilt(matrix: Tensor, rank: int) -> Tensor:
    left, singular, right = largest(matrix, rank)
    return left * singular @ right


@pytest.mark.parametrize(
    "shape", [(LEAST, LEAST), (LEAST + 40, LEAST), (LEAST, LEAST + 40), (9, 7)]
)
@pytest.mark.parametrize("rank", [1, 5, 400])
def test_it_is_the_best_approximation_of_its_rank(shape: tuple[int, int], rank: int) -> None:
    values = 0.9 ** torch.arange(min(shape), dtype=torch.float64)
    matrix = with_values(values, *shape)
    left, singular, right = largest(matrix, rank)
    kept = min(rank, *shape)

    assert torch.allclose(singular, values[:kept], rtol=1e-9, atol=1e-15)
    error = torch.linalg.norm(matrix - left * singular @ right)
    assert float(error) == pytest.approx(float(torch.linalg.norm(values[kept:])), abs=1e-12)
    one = torch.eye(kept, dtype=torch.float64)
    assert torch.allclose(left.T @ left, one, atol=1e-12)
    assert torch.allclose(right @ right.T, one, atol=1e-12)


@pytest.mark.parametrize("smallest", [2 * CONDITION, CONDITION / 2, 1e-12, 0.0])
def test_small_singular_values_keep_their_digits(smallest: float) -> None:
    values = torch.zeros(LEAST, dtype=torch.float64)
    values[:4] = torch.tensor([1.0, 1.0, 1e-3, smallest])
    matrix = with_values(values, LEAST, LEAST)

    assert torch.linalg.norm(rebuilt(matrix, 4) - matrix) < 1e-9
    assert float(largest(matrix, 4)[1][3]) == pytest.approx(smallest, rel=1e-3, abs=1e-15)


def test_a_matrix_of_zeros_is_zero() -> None:
    assert not rebuilt(torch.zeros(LEAST, LEAST, dtype=torch.float64), 3).any()


def test_of_a_large_matrix_only_what_is_asked_for_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    whole = module._top

    def counted(gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
        asked.append(count)
        return whole(gram, count)

    monkeypatch.setattr(module, "_top", counted)
    largest(with_values(torch.ones(LEAST), LEAST, LEAST), 3)
    largest(with_values(torch.ones(20), 20, 20), 3)
    assert asked == [3]
