"""Mean average precision as COCO defines it, from boxes with scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Detections of one label in one image that count, those with the highest scores."""


@dataclass(frozen=True)
class Detected:
    """One object: its label, its box (x1, y1, x2, y2), and how sure the detector is.

    The score of an object that is really there is not looked at.
    """

    label: str
    box: Box
    score: float = 1.0


def average_precision(
    detected: Sequence[Sequence[Detected]], truth: Sequence[Sequence[Detected]]
) -> dict[str, float]:
    """The keys map (IoU thresholds .50 to .95 in steps of .05), map_50 and map_75, all in [0, 1].

    Per label and threshold, detections of all images are taken by falling score; each matches the
    unmatched object of its image with the highest IoU, the last of several equal ones, if that
    reaches the threshold. Precision
    is made non-increasing in recall and averaged over 101 recalls (Lin et al. 2014, COCO's own
    evaluation). The mean is over the labels that occur in the truth.

    Args:
        detected: for each image, what the detector found.
        truth: for each image, what is there.

    Raises:
        ValueError: another number of images, or no object anywhere.
    """
    if len(detected) != len(truth):
        raise ValueError(f"{len(detected)} images with detections, {len(truth)} with objects")
    labels = sorted({o.label for objects in truth for o in objects})
    if not labels:
        raise ValueError("no object in any image: nothing to find")
    table = np.array([_by_threshold(detected, truth, label) for label in labels]).mean(0)
    return {"map": float(table.mean()), "map_50": float(table[0]), "map_75": float(table[5])}


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), as (n, m); 0 where both are empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    union = _area(boxes)[:, None] + _area(others)[None] - common
    shared: np.ndarray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shared


def _by_threshold(
    detected: Sequence[Sequence[Detected]], truth: Sequence[Sequence[Detected]], label: str
) -> np.ndarray:
    """Average precision of one label at each threshold, (10,)."""
    scores, hits, objects = [], [], 0
    for found, there in zip(detected, truth, strict=True):
        own = sorted((d for d in found if d.label == label), key=lambda d: -d.score)[:MOST]
        real = [d for d in there if d.label == label]
        objects += len(real)
        scores += [d.score for d in own]
        hits.append(_matched(_boxes(own), _boxes(real)))
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.concatenate(hits, axis=1)[:, order]
    return np.array([_area_under(row, objects) for row in right])


def _matched(own: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which of one image's detections, by falling score, are right at each threshold, (10, n)."""
    overlap = iou(own, real)
    right = np.zeros((len(THRESHOLDS), len(own)), dtype=bool)
    for row, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(real), dtype=bool)
        for number in range(len(own)):
            candidates = np.where(free, overlap[number], -1.0)
            if len(real) and candidates.max() >= threshold - 1e-10:
                right[row, number] = True
                free[np.flatnonzero(candidates == candidates.max())[-1]] = False
    return right


def _area_under(right: np.ndarray, objects: int) -> float:
    """Precision averaged over the 101 recalls, from detections (n,) by falling score."""
    true = np.cumsum(right)
    recall = true / objects
    precision = true / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS)
    reached = places < len(envelope)
    return float(envelope[places[reached]].sum() / len(RECALLS))


def _boxes(objects: Sequence[Detected]) -> np.ndarray:
    return np.array([o.box for o in objects], dtype=np.float64).reshape(-1, 4)


def _area(boxes: np.ndarray) -> np.ndarray:
    area: np.ndarray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
    return area
