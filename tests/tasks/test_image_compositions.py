import numpy as np
import pytest

from fedlora.errors import FedloraError
from fedlora.section import parse
from fedlora.tasks.image_compositions import Config, ImageCompositions, Level

TURNS = tuple(Level(rotation=angle) for angle in (0.0, 90.0, 180.0))
KINDS = (Level(), Level(inversion=True), Level(classes=("bag", "coat")))


def family(**options):
    options = {"factors": (TURNS, KINDS), "bank": 4, "held_out": 3} | options
    return ImageCompositions(Config(**options))


@pytest.mark.parametrize("seed", range(5))
def test_every_level_is_in_the_bank_and_no_newcomer_is(seed):
    names = family(seed=seed).names()
    pairs = [name.split("+") for name in names.bank]

    assert {turn for turn, _ in pairs} == {level.title for level in TURNS}
    assert {kind for _, kind in pairs} == {"plain", "inversion", "bag-coat"}
    assert (len(names.bank), len(names.held_out)) == (4, 3)
    assert not set(names.bank) & set(names.held_out)


def test_a_pair_does_what_both_levels_do():
    made = family(bank=4, held_out=5)
    both = made.load("rotation=180+inversion").splits["test"]
    kept = made.load("rotation=0+bag-coat")

    assert both.inputs.mean() > 0.5
    assert kept.label_names == ("bag", "coat")
    assert set(np.unique(kept.splits["train"].labels)) == {0, 1}


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(FedloraError, match="each may change only what no other changes"):
        parse(Config, {"factors": [[{"rotation": 1}], [{"rotation": 2}]]})
    with pytest.raises(FedloraError, match="cannot show all 3 levels"):
        parse(Config, {"factors": [[{}, {"blur": 1}, {"blur": 2}], [{}]], "bank": 2})
    with pytest.raises(FedloraError, match="9 combinations, 14 are needed"):
        family(held_out=10).names()
    with pytest.raises(FedloraError, match="no class 'hat'"):
        family(factors=(TURNS, (Level(), Level(classes=("hat", "bag")))), bank=5, held_out=1).load(
            "rotation=0+hat-bag"
        )
