import numpy as np
import pytest

from fedlora.errors import FedloraError
from fedlora.tasks.image_domains import Config, ImageDomains
from fedlora.tasks.image_grid import Factors, Range, sample_grid
from fedlora.tasks.image_transform import ImageTransform

GRID = Factors(rotation=Range(low=0, high=80, steps=5), contrast=(0.4, 0.7, 1))


def sampled(bank=9, held_out=5, outside=0, factors=GRID, seed=0):
    return sample_grid(factors, bank, held_out, outside, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_newcomers_are_new_and_lie_among_the_bank(seed):
    bank, held_out = sampled(seed=seed)
    corners = {(0, 0.4), (0, 1), (80, 0.4), (80, 1)}

    assert (len(bank), len(held_out)) == (9, 5)
    assert not set(bank) & set(held_out)
    assert corners <= {(t.rotation, t.contrast) for t in bank}


def test_newcomers_out_of_range_are_one_step_outside():
    bank, held_out = sampled(outside=3)
    beyond = [t for t in held_out if t.rotation in (-20, 100) or t.contrast in (0.1, 1.3)]

    assert len(beyond) == 3
    assert all(0 <= t.rotation <= 80 and 0.4 <= t.contrast <= 1 for t in bank)


def test_a_step_outside_skips_what_cannot_be():
    factors = Factors(noise=(0, 0.1, 0.2), blur=(0, 1))
    _, held_out = sampled(bank=4, held_out=5, outside=5, factors=factors)

    assert all(t.noise == pytest.approx(0.3) or t.blur == 2 for t in held_out)


def test_a_grid_too_small_or_a_bank_below_its_corners_is_refused():
    with pytest.raises(FedloraError, match="the grid has 15 combinations, 16 are needed"):
        sampled(bank=10, held_out=6)
    with pytest.raises(FedloraError, match="3 tasks cannot hold the 4 corners"):
        sampled(bank=3)
    with pytest.raises(FedloraError, match=r"factors\.contrast: .* \(got -1"):
        sampled(bank=2, held_out=0, factors=Factors(contrast=(-1, 1)))
    with pytest.raises(FedloraError, match="out_of_range: 0 combinations"):
        sampled(bank=2, held_out=1, outside=1, factors=Factors(inversion=(False, True)))


def family(**options):
    return ImageDomains(Config(**options))


def test_names_say_what_varies():
    factors = Factors(rotation=(0, 40.5), inversion=(False, True), noise=(0.1,))

    assert set(family(factors=factors, bank=4, held_out=1, out_of_range=1).names().bank) == {
        "rotation=0",
        "rotation=40.5",
        "rotation=0,inverted",
        "rotation=40.5,inverted",
    }


def test_a_task_is_its_own_draw_of_the_sources_rows_changed():
    domains = family()
    source = domains.config.source.load()
    rows = {image.tobytes(): row for row, image in enumerate(source.examples.inputs)}
    upright = domains.load("rotation=0,contrast=1")
    drawn = [rows[image.tobytes()] for image in upright.splits["train"].inputs]
    judged = [rows[image.tobytes()] for image in upright.splits["test"].inputs]

    assert {split: len(upright.splits[split]) for split in upright.splits} == {
        "train": 400,
        "validation": 100,
        "test": 500,
    }
    assert not source.test[drawn].any()
    assert source.test[judged].all()
    assert np.array_equal(source.examples.labels[drawn], upright.splits["train"].labels)

    turned = domains.load("rotation=90,contrast=1").splits["train"].inputs
    back = ImageTransform(rotation=-90).apply(turned, seed=0)
    others = {tuple(np.round(image * 255).astype(int).ravel()) for image in back}
    mine = {
        tuple(np.round(image * 255).astype(int).ravel()) for image in upright.splits["train"].inputs
    }
    assert len(others & mine) < 50  # 400 of 14,000 twice: 11 in common on average


def test_a_source_of_texts_is_refused(cache):
    with pytest.raises(FedloraError, match="'bbc_news' holds no images"):
        family(source={"name": "bbc_news"}).load("rotation=0,contrast=1")
