"""How the tiny models that ship with fedlora are pretrained: the images, the loop, the files."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from fedlora import atomic
from fedlora.tasks.idx import read_idx

ASSETS = Path(__file__).parents[1] / "fedlora" / "assets"
BATCH = 64
LEARNING_RATE = 1e-3
WARMUP = 0.1
WEIGHT_DECAY = 0.05
SEED = 20170825

Loss = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Of a batch of images and labels; its random numbers come from the generator."""


def arguments(description: str, target: Path, threads: int) -> argparse.Namespace:
    """Where the images are and where the model goes; torch is seeded and told its threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="folder of the four Fashion-MNIST IDX files")
    parser.add_argument("--target", type=Path, default=target)
    parser.add_argument("--threads", type=int, default=threads)
    given = parser.parse_args()
    if not (given.folder / _file("train", "images")).is_file():
        parser.error(f"{given.folder}: holds no {_file('train', 'images')}; fetch the data first")
    torch.set_num_threads(given.threads)
    torch.manual_seed(SEED)
    return given


def _file(prefix: str, what: str) -> str:
    axes = {"images": 3, "labels": 1}
    return f"{prefix}-{what}-idx{axes[what]}-ubyte.gz"


def read_split(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) float32 in [0, 1] and labels (n,) int64."""
    images = read_idx(folder / _file(prefix, "images"))
    labels = read_idx(folder / _file(prefix, "labels"))
    pixels = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return pixels, torch.from_numpy(labels.astype(np.int64))


def pretraining_rows(total: int) -> np.ndarray:
    """Row numbers of the training images that the shipped subset left out."""
    with np.load(ASSETS / "fashion_mnist" / "subset.npz", allow_pickle=False) as subset:
        return np.setdiff1d(np.arange(total), subset["train_rows"])


def pretraining_images(folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels, as `read_split` gives them, that no federation ever holds."""
    images, labels = read_split(folder, "train")
    rows = torch.from_numpy(pretraining_rows(len(images)))
    return images[rows], labels[rows]


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every second image mirrored, on average."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    epochs: int,
    loss_of: Loss,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """AdamW under one cycle of the learning rate, a line an epoch; `model` is changed in place."""
    images, labels = data
    generator = torch.Generator().manual_seed(SEED)
    batches = len(images) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * batches, pct_start=WARMUP
    )
    model.train()
    for epoch in range(epochs):
        start, total = time.monotonic(), 0.0
        for batch in torch.randperm(len(images), generator=generator).split(BATCH)[:batches]:
            loss = loss_of(images[batch], labels[batch], generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                after_step()
            total += loss.item()
        seconds = time.monotonic() - start
        print(
            f"epoch {epoch + 1}/{epochs}  loss {total / batches:.4f}  {seconds:.0f} s", flush=True
        )
    model.eval()


def publish(write: Callable[[Path], None], target: Path) -> None:
    """Let `write` fill a folder, and put each of its files into `target` whole."""
    with TemporaryDirectory() as scratch:
        write(Path(scratch))
        for file in sorted(Path(scratch).iterdir()):
            atomic.write_bytes(target / file.name, file.read_bytes())
