"""Scenes hold what they say, where they say it."""

import numpy as np

from fedlora.finetune.objectives.average_precision import iou
from fedlora.tasks.detection.locations import dequantise, from_text
from fedlora.tasks.detection.scenes import Canvas, compose
from fedlora.tasks.detection_classes import DetectionClasses
from fedlora.tasks.source_part import SourcePart

CANVAS = Canvas(size=48, grid=3, smallest=12, largest=24, most=3)


def items() -> np.ndarray:
    images = np.zeros((6, 1, 28, 28), np.float32)
    for number, image in enumerate(images):
        image[0, 4 : 10 + 3 * number, 6:20] = 0.5 + 0.05 * number
    return images


def test_every_item_fills_its_box_and_nothing_lies_outside():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = compose(items(), [np.arange(3), np.arange(3, 6)], CANVAS, rng)
        rest = scene.image.copy()
        for item, box in zip(scene.items, scene.boxes, strict=True):
            x1, y1, x2, y2 = map(int, box)
            assert all(corner % CANVAS.grid == 0 for corner in (x1, y1, x2, y2))
            assert 0 <= x1 < x2 <= CANVAS.size
            assert 0 <= y1 < y2 <= CANVAS.size
            patch = scene.image[0, y1:y2, x1:x2]
            assert np.allclose(patch, 0.5 + 0.05 * item, atol=1e-5)
            rest[0, y1:y2, x1:x2] = 0
        assert not rest.any()
        boxes = np.array(scene.boxes)
        assert (iou(boxes, boxes) - np.eye(len(boxes))).max() == 0
        assert list(scene.boxes) == sorted(scene.boxes, key=lambda box: (box[1], box[0]))


def test_a_task_shows_its_class_in_every_image_and_tells_of_no_other():
    source = SourcePart.model_validate(
        {"name": "item_scenes", "sources": [{"name": "digits"}], "train": 120, "test": 60}
    )
    family = DetectionClasses(DetectionClasses.Config(source=source, min_examples=20))

    task = family.load("3")

    suffixes = task.splits["test"].suffixes
    assert suffixes
    assert all({found.label for found in from_text(suffix)} == {"3"} for suffix in suffixes)
    (image, found) = task.splits["test"].inputs[0, 0], from_text(suffixes[0])[0]
    x1, y1, x2, y2 = (round(v) for v in dequantise(found.bins, 36, 36))
    assert image[y1:y2, x1:x2].mean() > 0.1
