"""Pretrain the tiny ViT that ships with fedlora, on images that no federation ever holds.

    python -m scripts.pretrain_tiny_vit /usr/share/datasets/fashion-mnist

It sees the training images of Fashion-MNIST that are not in the shipped subset, upright, half of
them mirrored; never rotated, sheared, inverted or corrupted. Ten to twenty minutes on two cores.
"""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES
from scripts.pretraining import (
    ASSETS,
    arguments,
    augment,
    pretraining_images,
    publish,
    read_split,
    train,
)

EPOCHS = 12


def model_config() -> ViTConfig:
    """16 patches of 7 x 7 pixels, width 128, four layers: 540,170 parameters."""
    return ViTConfig(
        image_size=28,
        patch_size=7,
        num_channels=1,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.06,  # the usual 0.02 is meant for widths of 768
        id2label=dict(enumerate(LABEL_NAMES)),
        label2id={name: i for i, name in enumerate(LABEL_NAMES)},
    )


@torch.inference_mode()
def accuracy(model: ViTForImageClassification, images: Tensor, labels: Tensor) -> float:
    """The share of images (n, 1, 28, 28) in [0, 1] that the model names right."""
    right = [
        (model(x).logits.argmax(-1) == y).sum().item()
        for x, y in zip(images.split(500), labels.split(500), strict=True)
    ]
    return sum(right) / len(labels)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], ASSETS / "tiny_vit", threads=2)
    model = ViTForImageClassification(model_config())

    def loss_of(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return functional.cross_entropy(model(augment(images, generator)).logits, labels)

    train(model, pretraining_images(given.folder), EPOCHS, loss_of)
    print(f"test accuracy {accuracy(model, *read_split(given.folder, 't10k')):.4f}")
    publish(model.save_pretrained, given.target)


if __name__ == "__main__":
    main()
