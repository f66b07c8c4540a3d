"""The conditional VAE on a family whose truth is known."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.product import distance, norm
from fedlora.errors import FedloraError
from fedlora.generators.contract import TrainingBank
from fedlora.generators.cvae import Cvae
from fedlora.generators.cvae_network import CvaeNetwork, NetworkConfig
from fedlora.generators.mean import Mean
from tests.generators.linear_family import linear_family

FAMILY = linear_family()


def fitted(workdir: Path, **options: Any) -> Cvae:
    training = {"epochs": 150, **options.pop("training", {})}
    generator = Cvae(Cvae.Config.model_validate({"training": training, **options}))
    generator.fit(FAMILY.bank, seed=0, workdir=workdir, progress=lambda losses: None)
    return generator


def error(generator: Cvae | Mean) -> float:
    """Mean distance to the truth on tasks that were never in the bank, as a share of its norm."""
    made = generator.sample(FAMILY.held_out, seed=0)
    pairs = zip(made, FAMILY.truth, strict=True)
    return sum(distance(a, b) / norm(b) for a, b in pairs) / len(made)


@pytest.mark.parametrize("representation", ["delta_pca", "factors"])
@pytest.mark.parametrize("prior", ["learned", "standard"])
def test_unseen_tasks_get_their_own_adapter(
    representation: str, prior: str, tmp_path: Path
) -> None:
    average = Mean(Mean.Config())
    average.fit(FAMILY.bank, seed=0, workdir=tmp_path, progress=lambda losses: None)
    generator = fitted(tmp_path, representation=representation, network={"prior": prior})
    assert error(generator) < 0.3 * error(average)


def test_generated_adapters_are_as_large_as_the_true_ones(tmp_path: Path) -> None:
    made = fitted(tmp_path).sample(FAMILY.held_out, seed=0)
    shares = [norm(a) / norm(b) for a, b in zip(made, FAMILY.truth, strict=True)]
    assert sum(shares) / len(shares) == pytest.approx(1.0, abs=0.05)


def test_the_spread_of_the_prior_makes_samples_differ(tmp_path: Path) -> None:
    fixed = fitted(tmp_path / "fixed")
    loose = fitted(tmp_path / "loose", spread=1.0)
    asked = FAMILY.held_out[:1]
    assert fixed.sample(asked, seed=0)[0].digest() == fixed.sample(asked, seed=1)[0].digest()
    assert loose.sample(asked, seed=0)[0].digest() != loose.sample(asked, seed=1)[0].digest()
    assert loose.sample(asked, seed=0)[0].digest() == loose.sample(asked, seed=0)[0].digest()


def test_a_task_is_given_the_same_draws_whoever_else_is_asked_for(tmp_path: Path) -> None:
    loose = fitted(tmp_path, spread=1.0)
    together = loose.sample(FAMILY.held_out, seed=0)
    draws = loose.sample(FAMILY.held_out[-1:].expand(3, -1), seed=0)
    assert distance(together[-1], draws[0]) < 1e-4 * norm(draws[0])
    assert distance(draws[0], draws[1]) > 1e-2 * norm(draws[0])
    assert distance(draws[1], draws[2]) > 1e-2 * norm(draws[0])


def test_a_heavy_kl_collapses_the_latents_and_the_card_says_so(tmp_path: Path) -> None:
    alive = fitted(tmp_path / "alive", network={"kl_weight": 1e-4})
    dead = fitted(tmp_path / "dead", network={"kl_weight": 10.0, "prior": "standard"})
    dead.save(tmp_path / "saved")
    card = json.loads((tmp_path / "saved" / "generator.json").read_text())
    assert card["facts"]["active_units"] == 0
    assert alive.facts["active_units"] > 0
    assert alive.alarm() is None
    assert "posterior has collapsed" in str(dead.alarm())


def test_below_its_free_bits_an_axis_is_not_punished() -> None:
    network = CvaeNetwork(3, 2, NetworkConfig(latent=4, kl_weight=2.0, free_bits=5.0))
    draw = torch.Generator().manual_seed(1)
    points, conditions = torch.randn(8, 3, generator=draw), torch.randn(8, 2, generator=draw)

    found = network.losses(points, conditions, done=1.0, noise=draw)

    assert float(found["kl"].detach()) < 4 * 5.0
    beyond = found["loss"] - found["reconstruction"]
    assert float(beyond.detach()) == pytest.approx(2.0 * 4 * 5.0)


def test_foretold_norms_undo_what_averaging_takes(tmp_path: Path) -> None:
    noisy = linear_family(noise=0.6)
    options = {"training": {"epochs": 60}, "norms": "foretold"}
    generator = Cvae(Cvae.Config.model_validate(options))
    generator.fit(noisy.bank, seed=0, workdir=tmp_path / "work", progress=lambda losses: None)
    generator.save(tmp_path / "saved")
    trained = sum(norm(a) for a in noisy.bank.adapters) / len(noisy.bank.adapters)

    made = Cvae.load(tmp_path / "saved").sample(noisy.held_out, seed=0)
    shares = [norm(adapter) / trained for adapter in made]
    generator._norms = None
    plain = [norm(adapter) / trained for adapter in generator.sample(noisy.held_out, seed=0)]

    assert sum(plain) / len(plain) < 0.9
    assert sum(shares) / len(shares) == pytest.approx(1.0, abs=0.05)


def test_the_card_counts_the_bytes(tmp_path: Path) -> None:
    generator = fitted(tmp_path, training={"epochs": 1})
    generator.save(tmp_path / "saved")
    card = json.loads((tmp_path / "saved" / "generator.json").read_text())
    size = (tmp_path / "saved" / "model.safetensors").stat().st_size
    assert 0.9 * size < card["bytes"]["generator"] <= size
    assert card["bytes"]["adapter"] == 4 * FAMILY.truth[0].spec.size


def test_equal_conditions_or_equal_adapters_cannot_be_learned_from(tmp_path: Path) -> None:
    bank = FAMILY.bank
    cases = {
        "task vectors of the bank are the same": TrainingBank(
            bank.adapters, torch.ones_like(bank.conditions), bank.tasks
        ),
        "adapters of the bank are the same": TrainingBank(
            [bank.adapters[0]] * len(bank.tasks), bank.conditions, bank.tasks
        ),
    }
    for message, bad in cases.items():
        generator = Cvae(Cvae.Config())
        with pytest.raises(FedloraError, match=message):
            generator.fit(bad, seed=0, workdir=tmp_path, progress=lambda losses: None)
    assert not list(tmp_path.iterdir())
