"""Average precision, by hand and as COCO's own evaluation gives it."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedlora.finetune.objectives.average_precision import Detected, average_precision, iou

Images = list[list[Detected]]


def scenes(seed: int, images: int = 12) -> tuple[Images, Images]:
    """What a poor detector found in so many images, and what is there."""
    draw = random.Random(seed)
    found: Images = []
    there: Images = []
    for _ in range(images):
        objects, detections = [], []
        for _ in range(draw.randint(0, 4)):
            x, y = draw.randint(0, 60), draw.randint(0, 60)
            w, h = draw.randint(5, 30), draw.randint(5, 30)
            label = f"c{draw.randrange(3)}"
            objects.append(Detected(label, (x, y, x + w, y + h)))
            for _ in range(draw.randint(0, 2)):
                a, b, c, d = (draw.randint(-3, 3) for _ in range(4))
                said = label if draw.random() < 0.8 else f"c{draw.randrange(3)}"
                box = (x + a, y + b, x + w + c, y + h + d)
                detections.append(Detected(said, box, draw.randint(1, 99) / 100))
        for _ in range(draw.randint(0, 1)):
            x, y = draw.randint(0, 60), draw.randint(0, 60)
            box = (x, y, x + 10, y + 10)
            detections.append(Detected("c0", box, draw.randint(1, 99) / 100))
        found.append(detections)
        there.append(objects)
    return found, there


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (0.135800690929, 0.439054237249, 0.038757721926)),
        (1, (0.156773658135, 0.445286836376, 0.05101760176)),
        (2, (0.201225836869, 0.426528367122, 0.158415841584)),
    ],
)
def test_it_gives_what_pycocotools_gives(seed: int, expected: tuple[float, ...]):
    measured = average_precision(*scenes(seed))

    assert tuple(measured) == ("map", "map_50", "map_75")
    assert tuple(measured.values()) == pytest.approx(expected, abs=1e-9)


def by_pycocotools(found: Images, there: Images) -> dict[str, float]:
    """COCO's own evaluation, which torchmetrics' MeanAveragePrecision calls too."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    labels = sorted({o.label for objects in there for o in objects})

    def rows(images: Images) -> list[dict[str, Any]]:
        return [
            {
                "image_id": image,
                "category_id": labels.index(o.label),
                "bbox": [o.box[0], o.box[1], o.box[2] - o.box[0], o.box[3] - o.box[1]],
                "area": (o.box[2] - o.box[0]) * (o.box[3] - o.box[1]),
                "iscrowd": 0,
                "score": o.score,
            }
            for image, objects in enumerate(images)
            for o in objects
        ]

    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": image} for image in range(len(there))],
        "categories": [{"id": number} for number in range(len(labels))],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows(there), 1)],
        "info": {},
    }
    truth.createIndex()
    judge = evaluation.COCOeval(truth, truth.loadRes(rows(found)), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return dict(zip(("map", "map_50", "map_75"), judge.stats.tolist(), strict=False))


def by_torchmetrics(found: Images, there: Images) -> dict[str, float]:
    """Needs pycocotools and a torchvision of the same build as torch."""
    pytest.importorskip("pycocotools")
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    detection = pytest.importorskip("torchmetrics.detection")
    names = sorted({o.label for objects in (*found, *there) for o in objects})

    def tensors(objects: list[Detected]) -> dict[str, torch.Tensor]:
        return {
            "boxes": torch.tensor([o.box for o in objects], dtype=torch.float64).reshape(-1, 4),
            "scores": torch.tensor([o.score for o in objects], dtype=torch.float64),
            "labels": torch.tensor([names.index(o.label) for o in objects], dtype=torch.int64),
        }

    metric = detection.MeanAveragePrecision()
    metric.update([tensors(o) for o in found], [tensors(o) for o in there])
    measured = metric.compute()
    return {key: float(measured[key]) for key in ("map", "map_50", "map_75")}


@pytest.mark.parametrize("other", [by_pycocotools, by_torchmetrics], ids=lambda f: f.__name__)
def test_it_gives_what_others_give_for_hundreds_of_detections(
    other: Callable[[Images, Images], dict[str, float]],
):
    whole, there = scenes(7, images=200)
    draw = random.Random(8)
    for _ in range(120):  # more of one label in one image than the hundred that count
        x, y = draw.randint(0, 60), draw.randint(0, 60)
        whole[0].append(Detected("c0", (x, y, x + 12, y + 12), draw.random()))

    def wider(o: Detected) -> Detected:
        """Between pixels, where no overlap is a threshold, which torchmetrics keeps in float32; and
        never inside out, since COCO leaves such boxes out."""
        x1, y1, x2, y2 = o.box
        a, b, c, d = (draw.uniform(0.6, 1.4) for _ in range(4))
        return replace(o, box=(x1 - a, y1 - b, x2 + c, y2 + d))

    found = [[wider(o) for o in objects] for objects in whole]
    assert sum(map(len, found)) > 400

    assert average_precision(found, there) == pytest.approx(other(found, there), abs=1e-6)


def test_a_detector_that_finds_everything_and_nothing_else_is_perfect():
    _, there = scenes(3)

    assert average_precision(there, there) == {"map": 1.0, "map_50": 1.0, "map_75": 1.0}
    assert average_precision([[] for _ in there], there)["map"] == 0.0


def test_a_wrong_box_ahead_of_the_right_one_halves_the_precision():
    there = [[Detected("dog", (0, 0, 10, 10))]]
    right, wrong = Detected("dog", (0, 0, 10, 10), 0.5), Detected("dog", (50, 50, 60, 60), 0.9)

    assert average_precision([[right, wrong]], there)["map"] == pytest.approx(0.5)
    behind = Detected("dog", wrong.box, 0.1)
    assert average_precision([[right, behind]], there)["map"] == pytest.approx(1.0)


def test_an_object_is_found_once_and_by_its_own_name_alone():
    there = [[Detected("dog", (0, 0, 10, 10)), Detected("dog", (20, 0, 30, 10))]]
    twice = [Detected("dog", (0, 0, 10, 10), 0.9), Detected("dog", (0, 0, 10, 10), 0.8)]

    assert average_precision([twice], there)["map_50"] == pytest.approx(51 / 101)
    cat = [Detected("cat", o.box, 0.9) for o in there[0]]
    assert average_precision([cat], there)["map_50"] == 0.0


def test_the_thresholds_are_those_of_the_overlap():
    there = [[Detected("dog", (0, 0, 100, 10))]]
    shifted = [[Detected("dog", (0, 0, 72, 10), 0.9)]]  # IoU .72: five of ten thresholds

    measured = average_precision(shifted, there)

    assert measured == {"map": pytest.approx(0.5), "map_50": 1.0, "map_75": 0.0}


def test_overlap_is_the_area_in_common_over_the_area_of_both():
    boxes = np.array([[0, 0, 4, 4], [0, 0, 0, 0]], dtype=float)
    others = np.array([[2, 2, 6, 6], [0, 0, 4, 4], [9, 9, 10, 10], [0, 0, 0, 0]], dtype=float)

    assert iou(boxes, others) == pytest.approx(np.array([[4 / 28, 1, 0, 0], [0, 0, 0, 0]]))


def test_what_cannot_be_scored_is_refused():
    _, there = scenes(0)
    with pytest.raises(ValueError, match="images"):
        average_precision([[]], there)
    with pytest.raises(ValueError, match="nothing to find"):
        average_precision([[]], [[]])
