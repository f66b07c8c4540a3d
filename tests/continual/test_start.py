"""A start that is foretold, within the rows that a branch may write in."""

import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.continual.start import nearest_start


def adapter(rank, alpha, seed):
    rng = torch.Generator().manual_seed(seed)
    spec = AdapterSpec("base", (LayerSpec("x", 8, 6, rank),), alpha)
    down, up = torch.randn(rank, 8, generator=rng), torch.randn(6, rank, generator=rng)
    return LoraAdapter(spec, {"x": down}, {"x": up}, {})


def test_no_other_up_is_nearer():
    branch, foretold = adapter(2, 2.0, 1), adapter(3, 6.0, 2)

    started = nearest_start(branch, foretold)

    assert torch.equal(started.down["x"], branch.down["x"])
    rest = started.delta("x") - foretold.delta("x")
    assert torch.allclose(rest @ branch.down["x"].T, torch.zeros(6, 2), atol=1e-4)
    dense = torch.linalg.lstsq(branch.down["x"].T, foretold.delta("x").T).solution.T
    assert torch.allclose(started.up["x"], dense, atol=1e-4)


def test_what_a_branch_can_say_it_starts_with():
    branch = adapter(3, 3.0, 1)
    same = nearest_start(
        LoraAdapter(branch.spec, branch.down, {"x": torch.zeros(6, 3)}, {}), branch
    )
    assert torch.allclose(same.delta("x"), branch.delta("x"), atol=1e-4)


def test_rows_of_zero_stay_silent():
    branch = adapter(2, 2.0, 1)
    branch.down["x"][1] = 0
    started = nearest_start(branch, adapter(3, 3.0, 2))
    assert torch.equal(started.up["x"][:, 1], torch.zeros(6))
    assert started.up["x"][:, 0].abs().min() > 0
