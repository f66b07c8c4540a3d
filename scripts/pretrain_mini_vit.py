"""Pretrain the mini ViT that ships with fedlora: clothes of 8 x 8 pixels, never a digit.

    python scripts/pretrain_mini_vit.py

It sees the shipped training images of Fashion-MNIST, shrunk. A stream of handwritten digits then
asks it for shapes that it has never seen. One to two minutes on one core.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from fedlora import atomic
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist

TARGET = Path(__file__).parents[1] / "fedlora" / "assets" / "mini_vit"
SIDE = 8
EPOCHS = 12
BATCH = 64
LEARNING_RATE = 2e-3
WARMUP = 0.1
WEIGHT_DECAY = 0.05
SEED = 19980728


def model_config() -> ViTConfig:
    """16 patches of 2 x 2 pixels, width 64, four layers."""
    return ViTConfig(
        image_size=SIDE,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.08,  # the usual 0.02 is meant for widths of 768
        id2label=dict(enumerate(LABEL_NAMES)),
        label2id={name: i for i, name in enumerate(LABEL_NAMES)},
    )


def shrunk() -> tuple[Tensor, Tensor, Tensor]:
    """Images (n, 1, 8, 8) float32, labels (n,) int64, and which rows are for testing (n,) bool."""
    table = FashionMnist(Config()).load()
    images = torch.from_numpy(table.examples.inputs)
    small = functional.interpolate(images, size=(SIDE, SIDE), mode="area")
    return small, torch.from_numpy(table.examples.labels), torch.from_numpy(table.test)


def train(model: ViTForImageClassification, images: Tensor, labels: Tensor) -> None:
    generator = torch.Generator().manual_seed(SEED)
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARMUP
    )
    model.train()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(BATCH)[: len(images) // BATCH]:
            loss = functional.cross_entropy(model(images[batch]).logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{EPOCHS}  loss of the last batch {loss.item():.4f}", flush=True)


@torch.inference_mode()
def accuracy(model: ViTForImageClassification, images: Tensor, labels: Tensor) -> float:
    model.eval()
    return float((model(images).logits.argmax(-1) == labels).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    model = ViTForImageClassification(model_config())
    images, labels, test = shrunk()
    train(model, images[~test], labels[~test])
    print(f"test accuracy {accuracy(model, images[test], labels[test]):.4f}")
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        for file in sorted(Path(scratch).iterdir()):
            atomic.write_bytes(arguments.target / file.name, file.read_bytes())


if __name__ == "__main__":
    main()
