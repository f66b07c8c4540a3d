"""ICM-LoRA's detection files, out and in."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlora.errors import FedloraError
from fedlora.tasks.detection.jsonl import annotate, read_annotations, write_annotations
from fedlora.tasks.detection.locations import Found
from fedlora.tasks.detection_classes import DetectionClasses
from fedlora.tasks.sources.florence_jsonl import Config, FlorenceJsonl

PUBLISHED = {
    "id": "image_0001",
    "image_path": "images/image_0001.png",
    "height": 480,
    "width": 640,
    "suffix": "dog<loc_120><loc_85><loc_340><loc_250> person<loc_50><loc_30><loc_150><loc_200>",
}


def written(folder: Path, rows: list[dict]) -> Path:
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_published_line_is_read_and_written_as_it_was(tmp_path: Path):
    file = written(tmp_path, [PUBLISHED])

    (image,) = read_annotations(file)
    write_annotations(tmp_path / "again.jsonl", [image])

    assert image.objects[0] == Found("dog", (120, 85, 340, 250))
    label, box = image.boxes()[0]
    assert (label, box) == ("dog", pytest.approx((77.12, 41.04, 217.92, 120.24)))
    assert json.loads((tmp_path / "again.jsonl").read_text()) == PUBLISHED
    assert annotate(image.id, image.path, 480, 640, image.boxes()) == image


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"suffix": "dog<loc_1>"}, "line 1.*write a label and four"),
        ({"height": 0}, "from 1 to 1,000,000 pixels"),
        ({"height": float("inf")}, "infinity"),
        ({"width": 10**300}, "from 1 to 1,000,000 pixels"),
        ({"width": "wide"}, "line 1"),
        ({"suffix": None}, "line 1"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, change: dict, says: str):
    with pytest.raises(FedloraError, match=says):
        read_annotations(written(tmp_path, [PUBLISHED | change]))
    lacking = {key: value for key, value in PUBLISHED.items() if key not in change}
    with pytest.raises(FedloraError, match="a line has id, image_path"):
        read_annotations(written(tmp_path, [lacking]))
    with pytest.raises(FedloraError, match="without < and >"):
        annotate("x", "x", 9, 9, [("a<b", (0, 0, 1, 1))])


def test_each_class_of_a_file_is_a_task_of_its_own(tmp_path: Path):
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(20):
        grey = np.full((24, 32, 3), 10 * number, np.uint8)
        Image.fromarray(grey).save(tmp_path / "images" / f"{number}.png")
        suffix = PUBLISHED["suffix"] if number % 2 else PUBLISHED["suffix"].split(" ")[0]
        path = f"images/{number}.png"
        rows.append(PUBLISHED | {"id": str(number), "image_path": path, "suffix": suffix})
    source = {"name": "florence_jsonl", "path": str(written(tmp_path, rows)), "size": 16}
    family = DetectionClasses(
        DetectionClasses.Config.model_validate({"source": source, "min_examples": 5})
    )

    person = family.load("person")

    assert family.names().bank == ("dog", "person")
    shown = [s for split in person.splits.values() for s in split.suffixes]
    assert shown == ["person<loc_50><loc_30><loc_150><loc_200>"] * 10
    assert person.splits["train"].inputs.shape[1:] == (3, 16, 16)
    rows[0]["image_path"] = "images/none.png"
    incomplete = FlorenceJsonl(Config(path=written(tmp_path, rows), size=16))
    with pytest.raises(FedloraError, match="not a readable image"):
        incomplete.load()
