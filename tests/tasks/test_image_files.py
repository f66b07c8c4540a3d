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


def test_a_disk_that_is_full_is_named_beside_what_is_needed(kept, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "taken"))

    with pytest.raises(FedloraError, match=r"taken: 6 images of 28 x 28 take .* set FEDLORA_DATA"):
        kept.on_disk()


def test_copies_of_test_images_never_train(kept):
    kept.files[4].write_bytes(kept.files[1].read_bytes())
    own = np.arange(COUNT) == 1
    table = Table("image-classification", Examples(kept, np.arange(COUNT)), test=own)

    assert mask_of(table, 0).tolist() == [False, True, False, False, True, False]
