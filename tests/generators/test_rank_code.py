import pytest
import torch

from fedlora.generators.rank_code import RankCode, largest_rank
from tests.generators.linear_family import SPEC, linear_family

BANK = linear_family(tasks=3).bank.adapters


def test_one_rank_says_nothing() -> None:
    conditions = torch.randn(2, 5)
    code = RankCode.of(BANK)
    assert code.features == 0
    assert code(conditions, torch.tensor([4, 4])) is conditions


def test_several_ranks_are_one_standardised_column() -> None:
    code = RankCode(torch.tensor([1.5, 0.5]))
    made = code(torch.zeros(3, 2), torch.tensor([2, 4, 8]))
    assert made[:, :2].eq(0).all()
    assert made[:, 2].tolist() == pytest.approx([-1, 1, 3])
    assert largest_rank(SPEC) == 4
