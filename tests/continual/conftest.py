"""A small ViT for 8 x 8 images, and a stream of scikit-learn's digits for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from fedlora.backbone import AdapterSlot, load_base
from fedlora.config import BackboneConfig, LoraSection
from fedlora.continual.stream import StreamTask, encode_stream
from fedlora.section import parse
from fedlora.tasks.class_stream import ClassStream, Config


def save_small_vit(folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            initializer_range=0.2,
            num_labels=2,
        )
        ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_vit(tmp_path_factory) -> Path:
    return save_small_vit(tmp_path_factory.mktemp("small_vit"))


@pytest.fixture(scope="session")
def slot(small_vit) -> Iterator[AdapterSlot]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lora = LoraSection(rank=2, alpha=2, targets=("k_proj", "v_proj"))
    yield AdapterSlot(load_base(BackboneConfig(name=str(small_vit))), lora, torch.device("cpu"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tasks(slot) -> list[StreamTask]:
    options = {
        "source": {"name": "digits", "size": 8},
        "classes_per_task": 4,
        "splits": {"train": 60, "validation": 10, "test": 40},
    }
    return encode_stream(ClassStream(parse(Config, options)), slot, 16)
