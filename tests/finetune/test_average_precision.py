"""Average precision, by hand and as COCO's own evaluation gives it."""

import random

import numpy as np
import pytest

from fedlora.finetune.objectives.average_precision import Detected, average_precision, iou

Images = list[list[Detected]]


def scenes(seed: int) -> tuple[Images, Images]:
    """Twelve images: what a poor detector found, and what is there."""
    draw = random.Random(seed)
    found: Images = []
    there: Images = []
    for _ in range(12):
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
