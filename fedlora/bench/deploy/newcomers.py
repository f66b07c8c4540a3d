"""A newcomer with images of its own, served by a standing server of a rehearsal."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fedlora.bench.deploy.rehearsal import Rehearsal
from fedlora.tasks.sources.fashion_mnist import Config, FashionMnist

_PER_CLASS = 12
_TURNS = 1
"""Quarter turns of its images: a domain that no client of the bank has."""


@dataclass(frozen=True)
class Served:
    """What a newcomer left with.

    seconds: from when its command begins to connect to the adapter on its disk, tried on its own
        test examples.
    said: what its command printed.
    """

    adapter: Path
    seconds: float
    said: str


def newcomer_data(folder: Path) -> Path:
    """A folder of Fashion-MNIST images, turned a quarter, one folder a class."""
    table = FashionMnist(Config()).load()
    labels = table.examples.labels
    assert labels is not None
    for number, name in enumerate(table.label_names):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for row in np.flatnonzero(labels == number)[:_PER_CLASS]:
            pixels = np.rot90(np.asarray(table.examples.inputs)[row, 0], _TURNS)
            Image.fromarray((255 * pixels).astype(np.uint8)).save(target / f"{row}.png")
    return folder


def take_part(federation: Rehearsal, data: Path, name: str = "newcomer") -> Served:
    """Start the standing server where it does not run, and have one newcomer served.

    Raises:
        FedloraError: it was not served; the line says what it said last.
    """
    if "standing" not in federation.running:
        federation.stand()
    place = federation.invite(name)
    federation.running["server"].wait_for(f"let in {name}")
    out = federation.folder / f"adapter-of-{name}"
    seconds, said = federation.adopt(place, data, out)
    return Served(out, seconds, said)
