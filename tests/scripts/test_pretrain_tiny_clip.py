"""The shipped CLIP is what its page says."""

import json
from dataclasses import replace

import pytest
import torch

from fedlora.backbone.clip import load_clip
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist
from scripts.pretrain_tiny_clip import CAPTIONS, UNSEEN_TEMPLATE, zero_shot_accuracy
from scripts.pretraining import ASSETS

FOLDER = ASSETS / "tiny_clip"


def test_it_knows_the_shipped_test_images_by_name_as_well_as_those_it_was_measured_on():
    measured = json.loads((FOLDER / "measured.json").read_text())
    towers = load_clip(str(FOLDER))
    table = FashionMnist(Config()).load()
    images = torch.from_numpy(table.examples.inputs[table.test])
    labels = torch.from_numpy(table.examples.labels[table.test])

    assert UNSEEN_TEMPLATE not in CAPTIONS
    assert sum(p.numel() for p in towers.model.parameters()) == measured["parameters"]
    for template, key in (
        (towers.templates[0], "zero-shot test accuracy"),
        (UNSEEN_TEMPLATE, "with a template it never saw"),
    ):
        assert zero_shot_accuracy(towers, images, labels, template) == pytest.approx(
            measured[key], abs=0.01
        )


def test_its_tokenizer_reads_any_name():
    towers = load_clip(str(FOLDER))
    names = ["a Zebra", "日本", *LABEL_NAMES]

    ids = towers.tokens(names)["input_ids"]

    assert [towers.tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids[:2]] == [
        "a zebra", "日本",
    ]  # fmt: skip
    rows = replace(towers, templates=("{}",)).name_rows(names)
    assert len({tuple(row.tolist()) for row in rows}) == len(names)
