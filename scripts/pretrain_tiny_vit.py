"""Pretrain the tiny ViT that ships with fedlora, on images that no federation ever holds.

    python scripts/pretrain_tiny_vit.py /usr/share/datasets/fashion-mnist

It sees the training images of Fashion-MNIST that are not in the shipped subset, upright, half of
them mirrored; never rotated, sheared, inverted or corrupted. Ten to twenty minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

from fedlora import atomic
from fedlora.tasks.idx import read_idx
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES

ASSETS = Path(__file__).parents[1] / "fedlora" / "assets"
EPOCHS = 12
BATCH = 64
LEARNING_RATE = 1e-3
WARMUP = 0.1
WEIGHT_DECAY = 0.05
SEED = 20170825


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


def read_split(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) float32 in [0, 1] and labels (n,) int64."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    pixels = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return pixels, torch.from_numpy(labels.astype(np.int64))


def pretraining_rows(total: int) -> np.ndarray:
    """Row numbers of the training images that the shipped subset left out."""
    with np.load(ASSETS / "fashion_mnist" / "subset.npz", allow_pickle=False) as subset:
        return np.setdiff1d(np.arange(total), subset["train_rows"])


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every second image mirrored, on average."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def train(model: ViTForImageClassification, images: Tensor, labels: Tensor) -> None:
    generator = torch.Generator().manual_seed(SEED)
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARMUP
    )
    model.train()
    for epoch in range(EPOCHS):
        start, total = time.monotonic(), 0.0
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(BATCH)[: len(images) // BATCH]:
            logits = model(augment(images[batch], generator)).logits
            loss = functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total / (len(images) // BATCH)
        seconds = time.monotonic() - start
        print(f"epoch {epoch + 1}/{EPOCHS}  loss {mean:.4f}  {seconds:.0f} s", flush=True)


@torch.inference_mode()
def accuracy(model: ViTForImageClassification, images: Tensor, labels: Tensor) -> float:
    model.eval()
    right = [
        (model(x).logits.argmax(-1) == y).sum().item()
        for x, y in zip(images.split(500), labels.split(500), strict=True)
    ]
    return sum(right) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the four Fashion-MNIST IDX files")
    parser.add_argument("--target", type=Path, default=ASSETS / "tiny_vit")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    model = ViTForImageClassification(model_config())
    images, labels = read_split(arguments.folder, "train")
    rows = torch.from_numpy(pretraining_rows(len(images)))
    train(model, images[rows], labels[rows])
    print(f"test accuracy {accuracy(model, *read_split(arguments.folder, 't10k')):.4f}")
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        for file in sorted(Path(scratch).iterdir()):
            atomic.write_bytes(arguments.target / file.name, file.read_bytes())


if __name__ == "__main__":
    main()
