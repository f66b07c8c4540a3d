"""Images as vision models want them, checkpoints without a classifier included."""

import json

import pytest
import torch
from transformers import ViTConfig, ViTModel

from fedlora.backbone import load_base
from fedlora.backbone.pixels import Pixels
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError


def test_images_are_enlarged_and_normalised():
    images = torch.rand(2, 3, 4, 4)
    found = Pixels(side=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).prepare(images)
    assert found.shape == (2, 3, 8, 8)
    assert torch.allclose(
        Pixels(mean=(0.5,) * 3, std=(0.25,) * 3).prepare(images), (images - 0.5) / 0.25
    )
    assert Pixels().prepare(images) is images


def test_grey_images_go_into_a_model_for_colour_and_not_the_other_way():
    grey, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(Pixels(channels=3).prepare(grey), grey.expand(2, 3, 4, 4))
    with pytest.raises(FedloraError, match=r"backbone\.name: .* 1 channels, .* task have 3; name"):
        Pixels(channels=1).prepare(colour)


def test_a_checkpoint_without_a_classifier_is_the_same_model_every_time(tmp_path):
    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(half))

    first, again = (load_base(BackboneConfig(name=str(tmp_path))) for _ in range(2))

    assert first.modality == "vision"
    assert first.digest == again.digest
    assert first.pixels == Pixels(8, (0.5,) * 3, (0.5,) * 3, 3)
