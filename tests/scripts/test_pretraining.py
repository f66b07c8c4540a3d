"""The loop that pretrains the shipped models."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from scripts.pretraining import BATCH, publish, train


def trained(noise: bool) -> tuple[nn.Linear, int]:
    torch.manual_seed(0)
    model, steps = nn.Linear(6, 2), 0
    images = torch.randn(3 * BATCH + 5, 6)
    labels = (images[:, 0] > 0).long()

    def loss_of(x, y, generator):
        if noise:
            x = x + torch.randn(x.shape, generator=generator)
        return functional.cross_entropy(model(x), y)

    def count():
        nonlocal steps
        steps += 1

    train(model, (images, labels), 100, loss_of, count)
    return model, steps


def test_it_learns_in_whole_batches_and_the_same_every_time():
    (first, steps), (again, _), (noisy, _) = trained(False), trained(False), trained(True)
    weight = first.weight[1] - first.weight[0]

    assert steps == 100 * 3
    assert not first.training
    assert weight.abs().argmax() == 0
    assert weight[0] > 0
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, noisy.weight)


def test_what_is_written_replaces_what_stood_there(tmp_path: Path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "other").write_text("stays")
    publish(lambda folder: (folder / "a").write_text("new"), tmp_path)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "a": "new", "other": "stays",
    }  # fmt: skip
