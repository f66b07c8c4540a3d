import io

import numpy as np
import pytest
import torch
from PIL import Image

from fedlora.errors import FedloraError
from fedlora.finetune.objectives.pictures import encode_images, images
from fedlora.tasks.contract import Examples, Table
from fedlora.tasks.image_files import ImageFiles
from fedlora.tasks.sources.fashion_mnist import Config, FashionMnist
from fedlora.tasks.splits import test_mask as mask_of

COUNT = 6


@pytest.fixture
def originals():
    items = np.asarray(FashionMnist(Config()).load().examples.inputs)[:COUNT]
    return np.round(items * 255).astype(np.uint8)


@pytest.fixture
def kept(tmp_path, monkeypatch, originals):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    files = [tmp_path / f"{number}.png" for number in range(COUNT)]
    for file, item in zip(files, originals, strict=True):
        Image.fromarray(item[0]).save(file)
    return ImageFiles(tuple(files), 28, 1)


def test_rows_on_disk_show_a_model_what_arrays_in_memory_do(kept, originals):
    rows = {"pixel_values": encode_images(kept)}

    assert rows["pixel_values"].dtype == torch.uint8
    assert np.array_equal(rows["pixel_values"].numpy(), originals)
    shown = images(rows, torch.device("cpu"))
    assert torch.equal(shown, encode_images(np.asarray(kept)))
    assert torch.equal(shown, torch.from_numpy(originals.astype(np.float32) / 255))


def test_the_file_of_pixels_has_no_name_and_is_not_in_memory(kept, tmp_path):
    held = kept.on_disk()

    assert isinstance(held, np.memmap)
    assert list((tmp_path / "cache").iterdir()) == []


def test_only_images_that_are_taken_are_decoded(kept, originals):
    kept.files[0].write_bytes(kept.files[0].read_bytes()[:200])

    assert np.array_equal(kept.take(np.array([3, 1])).on_disk(), originals[[3, 1]])
    with pytest.raises(FedloraError, match=r"0\.png: not a readable image"):
        kept.on_disk()


def test_what_is_no_image_is_found_before_anything_is_decoded(kept):
    kept.check()
    kept.files[2].write_text("no image")

    with pytest.raises(FedloraError, match=r"2\.png: not a readable image; remove it"):
        kept.check()


def test_no_images_are_an_array_of_none(kept):
    none = kept.take(np.array([], dtype=np.int64))

    assert none.on_disk().shape == np.asarray(none).shape == (0, 1, 28, 28)


def test_the_upper_eight_of_sixteen_bits_are_seen(kept, originals):
    deep = originals[0][0].astype(np.uint16) << 8
    Image.fromarray(deep).save(kept.files[0])

    assert np.array_equal(kept.on_disk(), originals)


def broken(length):
    """A PNG whose first chunk says that it has so many bytes."""
    image = io.BytesIO()
    Image.new("L", (28, 28)).save(image, "png")
    data = bytearray(image.getvalue())
    data[11] = length
    return bytes(data)


@pytest.mark.parametrize(
    "content", [b"", b"P6 1 x 255", broken(5), broken(0), b"BM" + b"\xff" * 60]
)
def test_whatever_a_decoder_makes_of_it_a_bad_file_is_one_line(kept, content):
    kept.files[2].write_bytes(content)

    for act in (kept.check, kept.on_disk, kept.digests):
        with pytest.raises(FedloraError, match=r"2\.png: not a readable image"):
            act()


def test_an_image_of_too_many_pixels_is_refused(kept, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)

    with pytest.raises(FedloraError, match=r"0\.png: not a readable image"):
        kept.on_disk()


def test_a_disk_that_is_full_is_named_beside_what_is_needed(kept, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "taken"))

    with pytest.raises(FedloraError, match=r"taken: 6 images of 28 x 28 take .* set FEDLORA_DATA"):
        kept.on_disk()


def test_copies_of_test_images_never_train_however_they_are_saved(kept, originals):
    Image.fromarray(originals[1][0]).save(kept.files[4], compress_level=0)
    assert kept.files[4].read_bytes() != kept.files[1].read_bytes()
    own = np.arange(COUNT) == 1
    table = Table("image-classification", Examples(kept, np.arange(COUNT)), test=own)

    assert mask_of(table, 0).tolist() == [False, True, False, False, True, False]
