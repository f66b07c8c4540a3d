"""The error of DeltaW beside that of factors: what it is, and what training with it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.cvae import Cvae
from fedlora.generators.icm import Icm
from fedlora.generators.latent import Latent
from fedlora.generators.representation import DeltaPca, Factors
from fedlora.section import parse
from tests.adapters import regauged
from tests.generators.linear_family import SPEC, linear_family

FAMILY = linear_family(tasks=10)
BANK = FAMILY.bank.adapters
FACTORS, POINTS = Factors.of(BANK, 0)
ERROR = FACTORS.product_error(BANK)


def point(adapter: LoraAdapter) -> Tensor:
    """The point of an adapter in just the factors that it has."""
    return (adapter.flatten() - ERROR.mean) / ERROR.spread


def moved(scale: float) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return POINTS + scale * torch.randn(POINTS.shape, generator=draw)


def dense(points: Tensor) -> Tensor:
    """DeltaW of all layers and the head, flat, in float64 (n, d)."""
    flat, parts, start = ERROR.mean.double() + points.double() * ERROR.spread.double(), [], 0
    for layer in SPEC.layers:
        down, up, _ = flat[:, start:].split(
            [layer.rank * layer.d_in, layer.rank * layer.d_out, len(flat[0]) - start - layer.size],
            dim=1,
        )
        delta = up.reshape(-1, layer.d_out, layer.rank) @ down.reshape(-1, layer.rank, layer.d_in)
        parts.append(SPEC.scaling(layer) * delta.flatten(1))
        start += layer.size
    return torch.cat([*parts, flat[:, start:]], dim=1)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-6])
def test_it_is_the_dense_error_in_what_the_bank_is_away_from_its_mean(scale: float) -> None:
    bank = dense(POINTS)
    unit = (bank - bank.mean(0)).square().sum(1).mean()
    expected = (dense(moved(scale)) - bank).square().sum(1) / unit
    # a difference of large numbers would have no digit left at the smallest miss
    assert torch.allclose(ERROR(moved(scale), POINTS).double(), expected, rtol=0.02)


def test_the_mean_of_the_bank_is_an_error_of_one() -> None:
    bank = dense(POINTS)
    assert float((bank - bank.mean(0)).square().sum(1).mean()) == pytest.approx(ERROR._unit, 1e-4)


def test_the_gauge_of_either_side_changes_nothing() -> None:
    adapters = FACTORS.decode(moved(0.1))
    turned = torch.stack([point(regauged(adapter, 0)) for adapter in adapters])
    expected = ERROR(moved(0.1), POINTS)
    assert (turned - moved(0.1)).square().sum(1).min() > 1
    assert torch.allclose(ERROR(turned, POINTS), expected, rtol=1e-3)
    assert torch.allclose(ERROR(POINTS, turned), expected, rtol=1e-3)


def test_gradients_are_those_of_the_dense_error() -> None:
    made = moved(0.1).requires_grad_()
    (found,) = torch.autograd.grad(ERROR(made, POINTS).sum(), made)
    miss = (dense(made) - dense(POINTS)).square().sum() / ERROR._unit
    (expected,) = torch.autograd.grad(miss, made)
    assert expected.norm() > 0
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_half_precision_around_it_does_not_reach_it() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ERROR(moved(0.1), POINTS)
    assert torch.equal(found, ERROR(moved(0.1), POINTS))


def test_distances_of_points_of_delta_pca_are_this_error_already() -> None:
    representation, points = DeltaPca.of(BANK, len(BANK))
    assert representation.product_error(BANK) is None
    distances = (points - points.roll(1, 0)).square().sum(1)
    assert torch.allclose(distances, ERROR(POINTS, POINTS.roll(1, 0)), rtol=1e-3)


def fitted(kind: type[Latent], workdir: Path, **options: Any) -> tuple[Latent, dict[str, float]]:
    told: dict[str, float] = {}
    generator = kind(kind.Config.model_validate(options))
    generator.fit(FAMILY.bank, seed=0, workdir=workdir, progress=told.update)
    return generator, told


def test_training_with_it_lowers_the_error_of_delta_w(tmp_path: Path) -> None:
    errors = {}
    for weight in (0.0, 10.0):
        generator, told = fitted(
            Cvae,
            tmp_path / str(weight),
            representation="factors",
            network={"product_weight": weight},
            training={"epochs": 150},
        )
        assert ("product" in told) == (weight > 0)
        made = generator.sample(FAMILY.held_out, seed=0)
        pairs = list(zip(made, FAMILY.truth, strict=True))
        errors[weight] = sum((distance(a, b) / norm(b)) ** 2 for a, b in pairs) / len(pairs)
    assert errors[10.0] < 0.8 * errors[0.0]


def test_the_published_network_takes_it_and_saves_nothing_of_it(tmp_path: Path) -> None:
    options = {"network": {"channels": [4, 4], "latent": 2}, "training": {"epochs": 2}}
    assert Icm.Config().network.product_weight == 0
    plain, _ = fitted(Icm, tmp_path / "plain", **options)
    options["network"] = {**options["network"], "product_weight": 1.0}
    weighed, told = fitted(Icm, tmp_path / "weighed", **options)
    assert told["product"] > 0
    sizes = []
    for name, generator in {"a": plain, "b": weighed}.items():
        generator.save(tmp_path / name)
        sizes.append((tmp_path / name / "model.safetensors").stat().st_size)
    assert sizes[0] == sizes[1]
    loaded = Icm.load(tmp_path / "b").sample(FAMILY.held_out, seed=0)
    own = weighed.sample(FAMILY.held_out, seed=0)
    assert [a.digest() for a in loaded] == [a.digest() for a in own]


def test_points_that_are_delta_w_already_refuse_the_weight() -> None:
    raw = {"name": "cvae", "network": {"product_weight": 1.0}}
    with pytest.raises(FedloraError, match=r"network.product_weight: .* representation: factors"):
        parse(GeneratorPart, raw)
    parse(GeneratorPart, {**raw, "representation": "factors"})
