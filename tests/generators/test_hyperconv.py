"""The decoder from prompts on a family whose truth is known."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.canonical import canonicalise
from fedlora.adapter.product import distance, norm
from fedlora.errors import FedloraError
from fedlora.generators.contract import TrainingBank
from fedlora.generators.hyperconv import HyperConv, outline
from fedlora.generators.hyperconv_network import DecoderConfig, HyperConvNetwork, sequence_lengths
from fedlora.generators.mean import Mean
from fedlora.generators.pairs import Pairs
from fedlora.generators.tokens import Tokeniser
from tests.generators.linear_family import FEATURES, linear_family

FAMILY = linear_family(tasks=20, held_out=6, samples=1)
PROMPTS = 8


def as_prompts(conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Each task vector as eight noisy prompts, flat."""
    noise = torch.randn(
        len(conditions), PROMPTS, FEATURES, generator=torch.Generator().manual_seed(seed)
    )
    return (conditions.unsqueeze(1) + 0.3 * noise).flatten(1)


BANK = TrainingBank(FAMILY.bank.adapters, as_prompts(FAMILY.bank.conditions, 0), FAMILY.bank.tasks)
HELD_OUT = as_prompts(FAMILY.held_out, 1)


def fitted(workdir: Path, **options: Any) -> HyperConv:
    training = {
        "epochs": 40,
        "batch_size": 20,
        "learning_rate": 2e-3,
        **options.pop("training", {}),
    }
    whole = {
        "prompt_width": FEATURES,
        "tokens": {"token_dim": 66},
        "decoder": {"hidden": 64, "blocks": 2},
        "training": training,
        **options,
    }
    generator = HyperConv(HyperConv.Config.model_validate(whole))
    generator.fit(BANK, seed=0, workdir=workdir, progress=lambda losses: None)
    return generator


def error(generator: HyperConv | Mean, conditions: torch.Tensor) -> float:
    """Mean distance to the truth on tasks that were never in the bank, as a share of its norm."""
    made = generator.sample(conditions, seed=0)
    pairs = zip(made, FAMILY.truth, strict=True)
    return sum(distance(a, b) / norm(b) for a, b in pairs) / len(made)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> HyperConv:
    return fitted(tmp_path_factory.mktemp("cascade"))


def test_prompts_of_unseen_tasks_get_adapters_of_their_own(trained: HyperConv) -> None:
    average = Mean(Mean.Config())
    average.fit(BANK, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    own, others = error(trained, HELD_OUT), error(trained, HELD_OUT.roll(1, 0))
    assert own < 0.6 * error(average, HELD_OUT)
    assert own < 0.6 * others


def test_tiles_and_branches_learn_as_well(tmp_path: Path) -> None:
    tokens = {"layout": "tiles", "tile": [4, 8]}
    generator = fitted(
        tmp_path, tokens=tokens, decoder={"variant": "branches", "hidden": 64, "blocks": 2}
    )
    assert error(generator, HELD_OUT) < 0.6 * error(generator, HELD_OUT.roll(1, 0))


def test_tokens_are_learned_as_they_weigh(trained: HyperConv, tmp_path: Path) -> None:
    others = trained.facts["tokens"] - 1
    first = fitted(tmp_path / "first", token_weights=[1.0] + [0.0] * others)
    rest = fitted(tmp_path / "rest", token_weights=[0.0] + [1.0] * others)

    def miss(generator: HyperConv) -> torch.Tensor:
        """(S,) of tokens of the bank, made from the prompts that it has learned with."""
        aligned, _ = canonicalise(BANK.adapters)
        made = generator.sample(BANK.conditions, seed=0)
        tokeniser = Tokeniser(aligned[0].spec, generator.config.tokens)
        pairs = zip(made, aligned, strict=True)
        apart = [tokeniser.encode(a).float() - tokeniser.encode(b).float() for a, b in pairs]
        return torch.stack(apart)[..., : tokeniser.values].square().mean((0, 2))

    assert (miss(first) < miss(rest)).tolist() == [True] + [False] * others


@pytest.mark.parametrize("weights", [[1.0, 2.0], [0.0]])
def test_token_weights_are_as_many_as_tokens(weights: list[float], tmp_path: Path) -> None:
    with pytest.raises(FedloraError, match=r"generator.token_weights: .* tokens, .*; give each"):
        fitted(tmp_path, token_weights=weights)


def test_weights_of_padding_alone_are_refused_before_training(trained: HyperConv) -> None:
    tokens = trained.facts["tokens"]
    options = {"tokens": {"token_dim": 66, "max_tokens": tokens + 1}}
    config = HyperConv.Config.model_validate({"token_weights": [0.0] * tokens + [1.0], **options})
    with pytest.raises(FedloraError, match=rf"token_weights: .*, {tokens} of which hold values"):
        outline(config, BANK.adapters[0].spec, PROMPTS, FEATURES)


def test_one_prompt_or_many_can_be_asked_with(trained: HyperConv) -> None:
    one = trained.sample(HELD_OUT[:1, :FEATURES], seed=0)[0]
    again = trained.sample(HELD_OUT[:1, :FEATURES].repeat(1, 4), seed=0)[0]
    assert one.digest() == again.digest()
    groups = [trained.sample(part, seed=0)[0] for part in HELD_OUT[:1].chunk(2, dim=1)]
    both = trained.sample(HELD_OUT[:1], seed=0)[0]
    assert max(distance(both, group) for group in groups) < distance(*groups)
    with pytest.raises(FedloraError, match=f"{FEATURES} features"):
        trained.sample(HELD_OUT[:1, :-1], seed=0)


def test_every_prompt_counts_whether_or_not_they_make_whole_groups(trained: HyperConv) -> None:
    four, seven = HELD_OUT[:1, : 4 * FEATURES], HELD_OUT[:1, : 7 * FEATURES]
    filled = torch.cat([seven, HELD_OUT[:1, :FEATURES]], dim=1)
    made = [trained.sample(asked, seed=0)[0].digest() for asked in (four, seven, filled)]
    assert made[0] != made[1]
    assert made[1] == made[2]


def test_prompts_kept_back_choose_the_weights(tmp_path: Path) -> None:
    told: list[Any] = []
    options = {"prompt_width": FEATURES, "test_ratio": 0.5, "tokens": {"token_dim": 66},
               "decoder": {"hidden": 16, "blocks": 1},
               "training": {"epochs": 6, "keep_best": 2}}  # fmt: skip
    generator = HyperConv(HyperConv.Config.model_validate(options))
    generator.fit(BANK, seed=0, workdir=tmp_path, progress=told.append)
    assert {"val_loss", "val_rmse", "mse", "l1", "mae", "relative_error"} <= set(told[0])
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert "last.ckpt" in names
    assert len(names) == 3
    assert all(name == "last.ckpt" or ("epoch=" in name and "val_loss=" in name) for name in names)


def test_groups_are_dealt_without_overlap_and_anew_in_each_epoch() -> None:
    adapters = torch.arange(6.0).view(3, 2, 1)
    prompts = torch.arange(3 * 10.0).view(3, 10, 1)
    pairs = Pairs(adapters, prompts, 4)
    assert len(pairs) == 3 * 2

    def epoch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.arange(len(pairs))
        targets, groups = pairs.take(rows, torch.Generator().manual_seed(seed))
        return targets, groups

    targets, groups = epoch(0)
    owner = targets[:, 0, 0] / 2
    assert torch.equal((groups[..., 0] // 10), owner.unsqueeze(1).expand(-1, 4))
    for task in range(3):
        said = groups[owner == task].flatten()
        assert len(set(said.tolist())) == 8
    assert not torch.equal(groups, epoch(1)[1])
    assert torch.equal(groups, epoch(0)[1])


@pytest.mark.parametrize("variant", ["cascade", "branches"])
def test_padding_and_its_errors_leave_the_loss_alone(variant: str) -> None:
    weights = torch.rand(7, 12) * (torch.rand(7, 12) > 0.3)
    weights /= weights.sum()
    config = DecoderConfig(variant=variant, hidden=16, blocks=2)  # type: ignore[arg-type]
    network = HyperConvNetwork(4, 5, weights, config).eval()
    prompts, targets = torch.randn(3, 4, 5), torch.randn(3, 7, 12)
    noise = torch.Generator()
    plain = network.losses(targets, prompts, done=0.0, noise=noise)
    spoilt = torch.where(weights > 0, targets, torch.full_like(targets, 1e3))
    assert torch.equal(
        plain["loss"], network.losses(spoilt, prompts, done=0.0, noise=noise)["loss"]
    )
    assert network(prompts).shape == (3, 7, 12)
    assert float(plain["mse"]) == pytest.approx(float((targets**2 * weights).sum((1, 2)).mean()))


def test_the_two_variants_lengthen_the_sequence_as_published() -> None:
    assert sequence_lengths(4, 512, DecoderConfig()) == [512, 512, 512, 512]
    assert sequence_lengths(4, 256, DecoderConfig(variant="branches")) == [4, 16, 64, 256]
