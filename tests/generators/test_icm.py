"""The published convolutions: their shapes, their loss, and what they make of unseen tasks."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fedlora.adapter.canonical import canonicalise
from fedlora.adapter.lora import tensor_shapes
from fedlora.generators.icm import Icm
from fedlora.generators.icm_network import IcmNetwork, IcmNetworkConfig
from fedlora.generators.representation import Factors
from tests.generators.linear_family import linear_family

FAMILY = linear_family(tasks=6, samples=1)


def network(points: int, **options: object) -> IcmNetwork:
    return IcmNetwork(points, 3, IcmNetworkConfig.model_validate(options))


def test_by_default_it_has_the_published_layers() -> None:
    built = network(9000)
    convolutions = [step for step in built.down if isinstance(step, nn.Conv1d)]
    widths = [step.out_channels for step in convolutions]
    assert widths == [8, 16, 32, 64, 128, 256, 256, 128, 64, 32, 16, 8]
    assert {step.kernel_size + step.stride for step in convolutions} == {(7, 2)}
    mirrored = [step for step in built.up if isinstance(step, nn.ConvTranspose1d)]
    assert [step.in_channels for step in mirrored] == widths[::-1]
    assert mirrored[-1].out_channels == 1
    # 9000 values padded to 3 * 2^12: three positions of eight channels are left
    assert built.to_latent.in_features == 3 * 8 + 3
    assert built.to_latent.out_features == 2 * 256
    plan = Icm.Config().training
    assert (plan.epochs, plan.learning_rate) == (2000, 2e-4)


@pytest.mark.parametrize("points", [1, 7, 8, 9, 100])
def test_points_of_any_length_come_back_at_their_length(points: int) -> None:
    built = network(points, channels=[4, 5, 6], latent=2)
    x, c = torch.randn(2, points), torch.randn(2, 3)
    assert built.encode(x, c).shape == (2, 4)
    assert built.decode(torch.randn(2, 2), c).shape == (2, points)


def test_the_loss_is_the_mean_square_error_of_z_scores_and_the_divergence() -> None:
    adapters = FAMILY.bank.adapters
    _, points = Factors.of(adapters, 0)
    sizes = [torch.Size(shape).numel() for shape in tensor_shapes(adapters[0].spec).values()]
    aligned, _ = canonicalise(adapters)
    flat = torch.stack([adapter.flatten() for adapter in aligned])
    away = flat - flat.mean(0)
    scores = torch.cat(
        [part / part.square().mean().sqrt() for part in away.split(sizes, dim=1)], dim=1
    )
    built = network(points.shape[1], channels=[4], latent=2, kl_weight=0.5).eval()
    conditions = torch.randn(len(points), 3)

    with torch.no_grad():
        found = built.losses(points, conditions, done=0.0, noise=torch.Generator().manual_seed(4))
        mean, log_variance = built.posterior(points, conditions)
        draw = torch.randn(mean.shape, generator=_after_the_blur(conditions, 4))
        made = built.decode(mean + torch.exp(log_variance / 2) * draw, conditions)
    error = ((made * points.shape[1] ** 0.5 - scores) ** 2).mean()
    kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
    assert float(found["loss"]) == pytest.approx(float(error + 0.5 * kl), rel=1e-4)


def _after_the_blur(conditions: torch.Tensor, seed: int) -> torch.Generator:
    draw = torch.Generator().manual_seed(seed)
    torch.randn(conditions.shape, generator=draw)
    return draw


def test_a_batch_of_one_sample_can_be_learned_from(tmp_path: Path) -> None:
    options = {
        "network": {"channels": [4] * 10, "latent": 2},
        "training": {"epochs": 1, "batch_size": 5},
    }
    generator = Icm(Icm.Config.model_validate(options))
    generator.fit(FAMILY.bank, seed=0, workdir=tmp_path, progress=lambda losses: None)
    assert len(generator.sample(FAMILY.held_out, seed=0)) == len(FAMILY.held_out)


def test_as_published_it_draws(tmp_path: Path) -> None:
    options = {
        "network": {"channels": [4, 4], "latent": 2},
        "training": {"epochs": 10},
    }
    generator = Icm(Icm.Config.model_validate(options))
    generator.fit(FAMILY.bank, seed=0, workdir=tmp_path, progress=lambda losses: None)
    asked = FAMILY.held_out[:1]
    one, two = (generator.sample(asked, seed=seed)[0].digest() for seed in (0, 1))
    assert one != two
