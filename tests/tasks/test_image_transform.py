import numpy as np
import pytest
from pydantic import ValidationError

from fedlora.tasks.image_transform import ImageTransform


def pictures(count=3, side=28, seed=0):
    """Smooth random pictures that are black near the border."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    window = np.exp(-(rows**2 + columns**2) / (side / 5) ** 2)
    shades = rng.random((count, 1, 4, 4)).repeat(side // 4, axis=2).repeat(side // 4, axis=3)
    return (shades * window).astype(np.float32)


def test_a_quarter_turn_is_numpys_rot90():
    images = pictures()

    turned = ImageTransform(rotation=90).apply(images, seed=0)

    assert np.allclose(turned, np.rot90(images, axes=(2, 3)), atol=1e-5)


def test_turning_back_gives_smooth_pictures_back():
    images = ImageTransform(blur=1.5).apply(pictures(), seed=0)

    there = ImageTransform(rotation=25).apply(images, seed=0)
    back = ImageTransform(rotation=-25).apply(there, seed=0)

    assert np.abs(there - images).max() > 0.1
    assert np.abs(back - images).max() < 0.05


def test_shear_leans_columns_and_keeps_rows():
    images = pictures()

    leaning = ImageTransform(shear=45).apply(images, seed=0)

    assert np.allclose(leaning.sum(axis=3), images.sum(axis=3), atol=0.3)
    top, bottom = leaning[:, 0, 10], leaning[:, 0, 17]
    columns = np.arange(28)
    centres = [(row * columns).sum(axis=1) / row.sum(axis=1) for row in (top, bottom)]
    straight = [
        (row * columns).sum(axis=1) / row.sum(axis=1)
        for row in images[:, 0, [10, 17]].swapaxes(0, 1)
    ]
    assert np.all(np.abs((centres[0] - centres[1]) - (straight[0] - straight[1])) > 5)


def test_inversion_undoes_itself_and_contrast_scales_about_grey():
    images = pictures()
    invert = ImageTransform(inversion=True)

    assert np.allclose(invert.apply(invert.apply(images, 0), 0), images, atol=1e-6)
    assert np.allclose(
        ImageTransform(contrast=0.5).apply(images, 0) - 0.5, 0.5 * (images - 0.5), atol=1e-6
    )


def test_blur_keeps_the_sum_and_lowers_the_peaks():
    images = pictures()

    soft = ImageTransform(blur=1.0).apply(images, seed=0)

    assert np.allclose(soft.sum(axis=(2, 3)), images.sum(axis=(2, 3)), rtol=1e-3)
    assert np.all(soft.max(axis=(2, 3)) < images.max(axis=(2, 3)))


def test_noise_has_its_strength_and_comes_from_the_seed_alone():
    grey = np.full((50, 1, 28, 28), 0.5, dtype=np.float32)
    noise = ImageTransform(noise=0.1)

    once = noise.apply(grey, seed=1)

    assert np.std(once) == pytest.approx(0.1, rel=0.02)
    assert np.array_equal(once, noise.apply(grey, seed=1))
    assert not np.array_equal(once, noise.apply(grey, seed=2))


def test_values_stay_between_black_and_white_and_the_given_array_is_untouched():
    images = pictures()
    before = images.copy()

    changed = ImageTransform(
        rotation=200, shear=-30, blur=0.5, contrast=3, inversion=True, noise=1
    ).apply(images, seed=0)

    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(images, before)


@pytest.mark.parametrize(
    "wrong", [{"contrast": 0}, {"noise": -1}, {"shear": 90}, {"rotation": float("nan")}]
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        ImageTransform(**wrong)
