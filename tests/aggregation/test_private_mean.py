"""A mean in which no client can be told: as Flower clips, as noisy as it says."""

from dataclasses import replace

import pytest
import torch
from flwr.supercore.differential_privacy import compute_clip_model_update, compute_stdv

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.parts import take_parts
from fedlora.aggregation.private_mean import private_mean
from fedlora.privacy.chance import Seeded
from tests.adapters import random_adapter

LAYERS = (LayerSpec("a", 9, 80, 2), LayerSpec("b", 8, 100, 2))
SPEC = AdapterSpec("0" * 64, LAYERS, 4.0, head=(("classifier.bias", (3,)),))
PARTS = ("up", "head")
BEFORE = random_adapter(SPEC, 99)


def moved(sent, *, asked=None, clip=1e9, noise=0.0, seed=0) -> tuple[LoraAdapter, int]:
    settings = {"asked": asked or len(sent), "clip": clip, "noise": noise, "chance": Seeded(seed)}
    return private_mean(BEFORE, sent, PARTS, **settings)


def test_without_limits_it_is_the_mean_and_who_stays_away_has_not_changed_anything():
    sent = [random_adapter(SPEC, seed) for seed in range(3)]
    found, clipped = moved(sent, asked=5)
    mean = torch.stack([take_parts(x, PARTS) for x in [*sent, BEFORE, BEFORE]]).mean(0)
    assert torch.allclose(take_parts(found, PARTS), mean, atol=1e-6)
    assert all(torch.equal(found.down[name], BEFORE.down[name]) for name in BEFORE.down)
    assert clipped == 0
    nobody, _ = moved([], asked=5)
    assert torch.equal(nobody.flatten(), BEFORE.flatten())


def test_changes_are_clipped_as_flower_clips_them():
    sent = [random_adapter(SPEC, seed, scale) for seed, scale in enumerate((0.5, 1.0, 3.0))]
    limit = 25.0
    found, clipped = moved(sent, clip=limit)

    start = take_parts(BEFORE, PARTS).double().numpy()
    theirs = [take_parts(adapter, PARTS).double().numpy() for adapter in sent]
    lengths = [float(torch.linalg.vector_norm(torch.from_numpy(x - start))) for x in theirs]
    for at in range(len(theirs)):
        one = [theirs[at]]
        compute_clip_model_update(one, [start], limit)
        theirs[at] = one[0]
    mean = torch.stack([torch.from_numpy(values) for values in theirs]).mean(0)

    assert torch.allclose(take_parts(found, PARTS).double(), mean, atol=1e-5)
    assert 0 < clipped == sum(length > limit for length in lengths) < 3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_no_client_moves_the_mean_further_than_its_share_of_the_clip(scale: float):
    others = [random_adapter(SPEC, seed) for seed in range(4)]
    one = random_adapter(SPEC, 7, scale)
    with_it, _ = moved([*others, one], asked=5, clip=2.0, noise=1.0)
    without, _ = moved(others, asked=5, clip=2.0, noise=1.0)
    apart = torch.linalg.vector_norm(with_it.flatten() - without.flatten())
    assert 0 < float(apart) <= 2.0 / 5 * (1 + 1e-4)


def test_the_noise_is_that_of_flower_on_the_mean():
    still = [replace(BEFORE) for _ in range(4)]
    draws = [take_parts(moved(still, clip=3.0, noise=2.0, seed=s)[0], PARTS) for s in range(40)]
    found = torch.stack(draws) - take_parts(BEFORE, PARTS)
    assert float(found.std()) == pytest.approx(compute_stdv(2.0, 3.0, 4), rel=0.02)
    assert abs(float(found.mean())) < 0.1
