"""Effects of levels, against sums written out, and on pairs that no bank holds."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter.product import distance, gram, norm
from fedlora.generators.blend import Blend
from fedlora.generators.compositional import Compositional
from fedlora.generators.contract import TrainingBank
from fedlora.generators.effects import Effects
from fedlora.generators.factors_of_tasks import Factors, Structure
from fedlora.generators.kriging import Kriging, KrigingConfig
from fedlora.generators.ridge import Ridge, RidgeConfig
from fedlora.generators.topk import TopK, TopKConfig
from fedlora.tasks.image_compositions import ImageCompositions
from tests.generators.linear_family import linear_family
from tests.generators.pairs_family import pairs_family

NAMES = ["turn=10,blur=no", "turn=20,blur=yes", "turn=100,blur=no", "turn=20,blur=no"]
ADDITIVE, TENSOR = Structure(False, 0.0), Structure(True, 0.0)
PLAIN = KrigingConfig(noise=None, metric="plain")


def fitted(generator: Blend, bank: TrainingBank) -> Blend:
    generator.fit(bank, seed=0, workdir=Path("never-written"), progress=lambda losses: None)
    return generator


def composed(**options: Any) -> Compositional:
    return Compositional(Compositional.Config.model_validate(options))


def named(names: list[str]) -> Factors:
    found = Factors.of(names)
    assert found is not None
    return found


def test_names_tell_factors_and_their_levels_in_order() -> None:
    factors = named(NAMES)
    assert factors.levels == {"turn": ("10", "20", "100"), "blur": ("no", "yes")}
    assert factors.tasks.tolist() == [[0, 0], [1, 1], [2, 0], [1, 0]]
    assert len(factors.cells()) == 6


@pytest.mark.parametrize(
    "names",
    [
        ["task-1", "task-2"],
        ["turn=1", "turn=2"],  # no level recurs
        ["turn=1,blur=no", "turn=1,blur=no"],  # nothing differs
        ["turn=1,shear=0", "blur=no"],  # no key that all have
        [],
    ],
)
def test_names_that_tell_nothing_tasks_share(names: list[str]) -> None:
    assert Factors.of(names) is None


def test_too_many_combinations_are_not_listed() -> None:
    names = [",".join(f"f{n}={task % 3}" for n in range(10)) for task in range(9)]
    assert Factors.of(names) is None  # 3^10 cells


def test_likeness_is_the_sum_or_the_product_over_factors() -> None:
    factors = named(NAMES)
    both, turn, blur, none = [[1, 1]], [[1, 0]], [[0, 1]], [[0, 0]]
    others = torch.tensor(both + turn + blur + none)

    additive = factors.likeness(torch.tensor(both), others, ADDITIVE)
    tensor = factors.likeness(torch.tensor(both), others, TENSOR)

    assert additive.tolist() == [[1.0, 0.5, 0.5, 0.0]]
    assert tensor[0].tolist() == pytest.approx([1.0, 1 / 3, 1 / 3, 0.0])


def test_levels_that_are_numbers_can_be_alike_by_their_steps() -> None:
    factors = named(["turn=10,blur=no", "turn=20,blur=no", "turn=30,blur=yes", "turn=10,blur=yes"])
    smooth = factors.likeness(
        torch.tensor([[0, 0]]), torch.tensor([[1, 0], [2, 0], [0, 1]]), Structure(False, 2.0)
    )
    near, far = math.exp(-(0.5**2) / 2), math.exp(-(1.0**2) / 2)
    # names have no steps between them: blur=yes is not like blur=no
    assert smooth[0].tolist() == pytest.approx([(near + 1) / 2, (far + 1) / 2, 0.5])


def test_left_out_misses_are_those_of_effects_without_the_task() -> None:
    bank = pairs_family().bank
    order = sorted(range(len(bank.tasks)), key=lambda row: bank.tasks[row])
    names = [bank.tasks[row] for row in order]
    products = gram([bank.adapters[row] for row in order])
    factors = named(names)
    effects = Effects.of(factors, products, [(ADDITIVE, 0.3)])

    rest = [row for row in range(len(names)) if row != 4]
    alone = Factors(factors.levels, factors.tasks[rest])
    without = Effects(alone, ADDITIVE, 0.3, torch.empty(0), 0.0)
    slow = without.weights(factors.tasks[4:5])[0]

    assert torch.allclose(-effects.misses[4, rest], slow, atol=1e-9)
    assert float(effects.misses[4, 4]) == pytest.approx(1.0)


def test_the_structure_that_misses_least_is_chosen() -> None:
    bank = pairs_family().bank
    found = fitted(composed(), bank)
    errors = {
        kind: fitted(composed(structure=kind), bank).facts["left_out_error"]
        for kind in ("additive", "tensor")
    }
    assert found.facts["left_out_error"] == pytest.approx(min(errors.values()))
    assert found.facts["interactions"] == 0  # effects add up in this family


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pairs_never_seen_are_foretold_better_than_by_any_neighbour(seed: int) -> None:
    family = pairs_family(seed=seed)

    def error(generator: Blend) -> float:
        made = fitted(generator, family.bank).sample(family.held_out, seed=0)
        pairs = zip(made, family.truth, strict=True)
        return sum(distance(a, b) / norm(b) for a, b in pairs) / len(made)

    rivals = (Kriging(PLAIN), Ridge(RidgeConfig()), TopK(TopKConfig(k=None)))
    assert error(composed()) < 0.8 * min(error(rival) for rival in rivals)


def test_without_names_that_tell_it_is_kriging() -> None:
    family = linear_family(tasks=10, samples=1)
    one = fitted(composed(), family.bank).sample(family.held_out, seed=0)
    two = fitted(Kriging(PLAIN), family.bank).sample(family.held_out, seed=0)
    assert [a.digest() for a in one] == [b.digest() for b in two]


def test_what_is_saved_answers_alike(tmp_path: Path) -> None:
    family = pairs_family()
    generator = fitted(composed(), family.bank)
    generator.save(tmp_path / "saved")
    loaded = Compositional.load(tmp_path / "saved")
    assert [a.digest() for a in loaded.sample(family.held_out, seed=0)] == [
        a.digest() for a in generator.sample(family.held_out, seed=0)
    ]


def test_the_names_of_composed_images_say_what_they_share():
    names = ImageCompositions(ImageCompositions.Config()).names().bank

    factors = Factors.of(names)

    assert factors is not None
    assert factors.levels["rotation"] == ("0", "45", "90", "135", "180", "225", "270", "315")
    assert [len(levels) for levels in factors.levels.values()] == [8, 8]
    first, last = names[0].split("+"), names[-1].split("+")
    told = [list(levels) for levels in factors.levels.values()]
    assert factors.tasks[0].tolist() == [
        told[0].index(first[0].removeprefix("rotation=")),
        told[1].index(first[1]),
    ]
    assert factors.tasks[-1].tolist()[1] == told[1].index(last[1])


def test_sets_of_names_have_no_factors():
    assert Factors.of(["bag+coat", "coat+shirt", "bag+shirt"]) is None
