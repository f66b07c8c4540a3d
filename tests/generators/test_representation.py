"""Adapters to points and back."""

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, gram, norm
from fedlora.errors import FedloraError
from fedlora.generators.representation import REPRESENTATIONS, DeltaPca, Representation
from tests.generators.linear_family import SPEC, linear_family

BANK = linear_family(tasks=10).bank.adapters
KINDS = sorted(REPRESENTATIONS)


def made(kind: str, components: int = 64) -> tuple[Representation, torch.Tensor]:
    return REPRESENTATIONS[kind].of(BANK, components)


@pytest.mark.parametrize("kind", KINDS)
def test_the_banks_own_points_decode_to_the_bank(kind: str) -> None:
    representation, points = made(kind)
    for adapter, back in zip(BANK, representation.decode(points), strict=True):
        assert distance(adapter, back) < 1e-4 * norm(adapter)
        assert torch.allclose(adapter.head["head.bias"], back.head["head.bias"], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_points_are_centred_and_of_mean_squared_norm_one(kind: str) -> None:
    representation, points = made(kind)
    assert points.shape == (len(BANK), representation.size)
    assert points.mean(0).norm() < 1e-5
    assert float(points.square().sum(1).mean()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_enough_to_decode(kind: str) -> None:
    representation, points = made(kind)
    again = type(representation).load(SPEC, representation.tensors())
    one, two = representation.decode(points[:3]), again.decode(points[:3])
    assert [a.digest() for a in one] == [b.digest() for b in two]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bank_of_copies_is_refused(kind: str) -> None:
    copies = [LoraAdapter.from_tensors(SPEC, BANK[0].tensors()) for _ in range(4)]
    with pytest.raises(FedloraError, match="all adapters of the bank are the same"):
        REPRESENTATIONS[kind].of(copies, 8)


def test_distances_between_points_are_distances_in_product_space() -> None:
    _, points = made("delta_pca")
    products = gram(BANK)
    squares = products.diagonal()
    apart = (squares + squares.unsqueeze(1) - 2 * products).clamp(min=0).sqrt()
    scale = apart.mean() / torch.cdist(points, points).mean()
    assert torch.allclose(
        torch.cdist(points, points).double() * scale, apart, atol=1e-3 * float(apart.max())
    )


def test_fewer_components_keep_the_most_of_the_bank() -> None:
    errors = []
    for components in (1, 2, 4):
        representation, points = DeltaPca.of(BANK, components)
        assert representation.size == components
        back = representation.decode(points)
        errors.append(sum(distance(a, b) for a, b in zip(BANK, back, strict=True)))
    assert errors[0] > 2 * errors[1]
    assert errors[2] <= errors[1]


def test_a_tensor_that_never_varies_decodes_to_its_value() -> None:
    still = [
        LoraAdapter(a.spec, a.down, a.up, {"head.bias": torch.tensor([1.0, 2.0, 3.0])})
        for a in BANK
    ]
    for kind in KINDS:
        representation, points = REPRESENTATIONS[kind].of(still, 64)
        head = representation.decode(3 * points)[0].head["head.bias"]
        assert torch.allclose(head, torch.tensor([1.0, 2.0, 3.0]), atol=1e-4)
