"""What every generator in the room must do."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora import registry
from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adapter.resize import resize
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from tests.generators.linear_family import SPEC, linear_family

NAMES = registry.names("generators")
QUICK: dict[str, dict[str, Any]] = {
    "corrected": {"folds": 2, "training": {"epochs": 40, "learning_rate": 5e-3}},
    "cvae": {"training": {"epochs": 60, "save_seconds": 0}},
    "hyperconv": {
        "training": {"epochs": 80},
        "tokens": {"token_dim": 66},
        "decoder": {"hidden": 64, "blocks": 1},
    },
    "hypernetwork": {"training": {"epochs": 150}},
    "icm": {
        "network": {"channels": [8, 8], "latent": 2, "kl_weight": 1.0},
        "training": {"epochs": 80, "learning_rate": 1e-2},
    },
}
CONDITIONAL = [name for name in NAMES if name != "mean"]
DRAWING = ("cvae", "icm")
LEARNED = (
    "compositional",
    "corrected",
    "cvae",
    "hyperconv",
    "hypernetwork",
    "icm",
    "kriging",
    "ridge",
)

FAMILY = linear_family()


def quiet(losses: Mapping[str, float]) -> None:
    """Progress that nobody watches."""


def build(name: str, options: dict[str, Any] | None = None) -> Generator:
    part = registry.find("generators", name)
    made: Generator = part(part.Config.model_validate(options or QUICK.get(name, {})))
    return made


def fitted(name: str, workdir: Path, bank: TrainingBank = FAMILY.bank, seed: int = 0) -> Generator:
    generator = build(name)
    generator.fit(bank, seed=seed, workdir=workdir, progress=quiet)
    return generator


def same(one: list[LoraAdapter], two: list[LoraAdapter]) -> bool:
    return [a.digest() for a in one] == [b.digest() for b in two]


def test_the_room_holds_the_default_and_the_baselines() -> None:
    assert {"cvae", "mean", "nearest", "topk", "ridge"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_adapter_a_condition_of_the_banks_spec(name: str, tmp_path: Path) -> None:
    made = fitted(name, tmp_path).sample(FAMILY.held_out, seed=1)
    assert len(made) == len(FAMILY.held_out)
    for adapter in made:
        assert adapter.spec == SPEC
        assert LoraAdapter.from_tensors(SPEC, adapter.tensors()).digest() == adapter.digest()
        assert 0.2 < norm(adapter) / norm(FAMILY.truth[0]) < 5


@pytest.mark.parametrize("name", NAMES)
def test_equal_bank_and_seed_give_equal_adapters(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = fitted(name, tmp_path / "one")
    torch.manual_seed(2)
    two = fitted(name, tmp_path / "two")
    assert same(one.sample(FAMILY.held_out, seed=1), two.sample(FAMILY.held_out, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_global_random_state_is_left_alone(name: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    fitted(name, tmp_path).sample(FAMILY.held_out, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_and_loaded_answers_alike(name: str, tmp_path: Path) -> None:
    generator = fitted(name, tmp_path / "work")
    generator.save(tmp_path / "saved")
    loaded = type(generator).load(tmp_path / "saved")
    assert same(generator.sample(FAMILY.held_out, seed=1), loaded.sample(FAMILY.held_out, seed=1))
    assert {file.name for file in (tmp_path / "saved").iterdir()} == {
        "model.safetensors",
        "generator.json",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_answered_alike_alone_and_in_company(name: str, tmp_path: Path) -> None:
    generator = fitted(name, tmp_path)
    together = generator.sample(FAMILY.held_out, seed=1)
    for row, adapter in enumerate(together):
        (alone,) = generator.sample(FAMILY.held_out[row : row + 1], seed=1)
        assert distance(adapter, alone) < 1e-4 * norm(alone)


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_one_task_differ_or_are_refused(name: str, tmp_path: Path) -> None:
    generator = fitted(name, tmp_path)
    asked = FAMILY.held_out[:1].expand(3, -1)
    plain = generator.sample(asked, seed=1)
    if name not in DRAWING:
        assert all(distance(one, plain[0]) < 1e-5 * norm(one) for one in plain)
        with pytest.raises(FedloraError, match=rf"^{name} draws nothing: .* would be the same"):
            generator.drawing()
        return
    made = generator.drawing().sample(asked, seed=1)
    assert all(distance(a, b) > 1e-2 * norm(a) for a, b in combinations(made, 2))
    assert same(made, generator.drawing().sample(asked, seed=1))
    assert same(plain, generator.sample(asked, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_gauge_of_the_bank_does_not_matter(name: str, tmp_path: Path) -> None:
    other = linear_family(gauge=7).bank
    one = fitted(name, tmp_path / "one").sample(FAMILY.held_out, seed=1)
    two = fitted(name, tmp_path / "two", other).sample(FAMILY.held_out, seed=1)
    for a, b in zip(one, two, strict=True):
        assert distance(a, b) < 0.02 * norm(a)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_shuffled_condition_is_clearly_worse(name: str, tmp_path: Path) -> None:
    generator = fitted(name, tmp_path)

    def error(conditions: torch.Tensor) -> float:
        made = generator.sample(conditions, seed=1)
        return sum(distance(a, b) for a, b in zip(made, FAMILY.truth, strict=True))

    assert error(FAMILY.held_out) < 0.6 * error(FAMILY.held_out.roll(1, 0))


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_of_another_size_is_refused(name: str, tmp_path: Path) -> None:
    generator = fitted(name, tmp_path)
    with pytest.raises(FedloraError, match="10 features"):
        generator.sample(FAMILY.held_out[:, :-1], seed=1)
    with pytest.raises(FedloraError, match="NaN"):
        generator.sample(FAMILY.held_out * torch.nan, seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_learned_from_is_refused_before_training(name: str, tmp_path: Path) -> None:
    bank = FAMILY.bank
    blind = bank.conditions.clone()
    blind[3, 2] = torch.nan
    torn = LoraAdapter(
        SPEC,
        bank.adapters[1].down,
        {**bank.adapters[1].up, "block.0.value": torch.full((12, 4), torch.inf)},
        bank.adapters[1].head,
    )
    cases = {
        "NaN": TrainingBank(bank.adapters, blind, bank.tasks),
        "infinity": TrainingBank([torn, *bank.adapters[1:]], bank.conditions, bank.tasks),
    }
    if name in LEARNED:
        one = ["only"] * len(bank.tasks)
        cases["1 task,"] = TrainingBank(bank.adapters, bank.conditions, one)
    for message, bad in cases.items():
        with pytest.raises(FedloraError, match=message) as caught:
            fitted(name, tmp_path, bad)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_bank_of_several_ranks_answers_at_each(name: str, tmp_path: Path) -> None:
    bank = FAMILY.bank
    odd = [resize(a, SPEC.with_rank(2)) if i % 2 else a for i, a in enumerate(bank.adapters)]
    generator = fitted(name, tmp_path, TrainingBank(odd, bank.conditions, bank.tasks))
    whole = generator.sample(FAMILY.held_out[:2], seed=1)
    for rank in (1, 2, 4, 8):
        made = generator.sample(FAMILY.held_out[:2], seed=1, rank=rank)
        assert all(adapter.spec == SPEC.with_rank(rank) for adapter in made)
    assert [a.spec for a in whole] == [SPEC, SPEC]
    same_rank = generator.sample(FAMILY.held_out[:2], seed=1, rank=4)
    assert distance(whole[0], same_rank[0]) < 1e-5 * norm(whole[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_folder_is_one_line(name: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    generator = fitted(name, tmp_path / "work")

    def refuse(message: str) -> None:
        with pytest.raises(FedloraError, match=message) as caught:
            type(generator).load(saved)
        assert "\n" not in str(caught.value)

    refuse("no such file")
    generator.save(saved)
    model, card = saved / "model.safetensors", saved / "generator.json"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    refuse("fit it again")
    model.write_bytes(whole)
    card.write_text(card.read_text().replace(f'"name": "{name}"', '"name": "other"'))
    refuse("a 'other' generator")
    card.write_text("{")
    refuse("fit it again")
