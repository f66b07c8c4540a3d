"""Small folders in the formats of CIFAR-100 and DomainNet."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

STYLES = ("clipart", "sketch")


def make_cifar(root: Path) -> Path:
    """Three classes, two training images and one test image of each."""
    inner = root / "cifar-100-python"
    inner.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, each in (("train", 2), ("test", 1)):
        labels = [label for label in range(3) for _ in range(each)]
        images = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        part = {b"data": images, b"fine_labels": labels, b"filenames": [b"x.png"] * len(labels)}
        (inner / name).write_bytes(pickle.dumps(part, protocol=2))
    names = {b"fine_label_names": [b"apple", b"bear", b"chair"]}
    (inner / "meta").write_bytes(pickle.dumps(names, protocol=2))
    return root


def make_domainnet(root: Path) -> Path:
    """Two styles of two classes, two training images and one test image of each."""
    for style in STYLES:
        for part, count in (("train", 2), ("test", 1)):
            lines = []
            for label, name in enumerate(("ant", "bus")):
                for number in range(count):
                    relative = f"{style}/{name}/{part}_{number}.png"
                    (root / relative).parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (9, 7), (50 * label + 10, 99, 20)).save(root / relative)
                    lines.append(f"{relative} {label}\n")
            (root / f"{style}_{part}.txt").write_text("".join(lines))
    return root
