"""A user's own data, read for the run's base model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from fedlora.client.own_task import open_task
from tests.conftest import small_config


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (12, 1)])
def test_own_images_are_read_as_the_base_model_takes_them(
    size: int, channels: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for number in range(16):
        folder = tmp_path / "images" / ("oak", "elm")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    described = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=size,
        patch_size=4,
        num_channels=channels,
        num_labels=2,
    )
    ViTForImageClassification(described).save_pretrained(tmp_path / "vit")
    config = small_config(backbone={"name": str(tmp_path / "vit")}, lora={"head": True})

    own = open_task(config, None, tmp_path / "images")

    for rows in (own.describing, own.judging):
        assert rows["pixel_values"].shape[1:] == (channels, size, size)
    # A fifth judges, and nothing else is left out of what describes the task.
    assert (len(own.judging["labels"]), len(own.describing["labels"])) == (3, 13)
    assert own.objective.label_names == ("elm", "oak")
    own.objective.judge(own.judging)
