"""The shipped ViT is what its page says."""

import numpy as np
import torch
from transformers import ViTForImageClassification

from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist
from scripts.pretrain_tiny_vit import accuracy
from scripts.pretraining import ASSETS, pretraining_rows


def test_it_was_pretrained_on_none_of_the_shipped_images():
    with np.load(ASSETS / "fashion_mnist" / "subset.npz") as subset:
        shipped = subset["train_rows"]

    rows = pretraining_rows(60000)

    assert len(rows) == 46000
    assert not set(rows) & set(shipped)


def test_it_knows_upright_images_and_no_others():
    model = ViTForImageClassification.from_pretrained(ASSETS / "tiny_vit").eval()
    table = FashionMnist(Config()).load()
    images, labels = table.examples.inputs[table.test], table.examples.labels[table.test]
    turned = ImageTransform(rotation=60).apply(images, seed=0)
    truth = torch.from_numpy(labels)

    assert tuple(model.config.id2label.values()) == LABEL_NAMES
    assert round(accuracy(model, torch.from_numpy(images), truth), 3) == 0.888
    assert accuracy(model, torch.from_numpy(turned), truth) < 0.2
