"""The invariants of InfLoRA in float64, and what each known mistake would break."""

import math

import pytest
import torch
from torch import Tensor

from fedlora.continual.design import design_down, random_down
from fedlora.continual.memory import Memory
from fedlora.continual.statistics import nothing, pack, summed, unpack
from fedlora.errors import FedloraError

ENERGIES = ("features", "covariance")


def inputs(n: int, width: int, rank: int, seed: int = 0) -> Tensor:
    """(n, width) float64 whose rows span `rank` directions of falling strength."""
    rng = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(width, rank, generator=rng, dtype=torch.float64)).Q
    scales = torch.logspace(0, -1.5, rank, dtype=torch.float64)
    return (torch.randn(n, rank, generator=rng, dtype=torch.float64) * scales) @ basis.T


def moment(x: Tensor) -> Tensor:
    return x.T @ x / len(x)


def dense(memory: Memory) -> Tensor:
    """M M^T, by the slow way of asking for the part of every unit vector."""
    unit = torch.eye(memory.width, dtype=torch.float64)
    return unit - memory.beyond(unit)


def grown_plainly(m: Tensor, c: Tensor, threshold: float, energy: str) -> Tensor:
    """The M form alone, by SVD of features or of the covariance: the slow, obvious computation."""
    power = 2 if energy == "covariance" else 1
    rest = torch.eye(len(c), dtype=torch.float64) - m @ m.T
    half = torch.linalg.cholesky(c + 1e-13 * torch.eye(len(c), dtype=torch.float64))
    matrix, exponent = (rest @ half, 2) if power == 1 else (rest @ c, 2)
    whole = torch.sum((half if power == 1 else c) ** 2)
    left, singular, _ = torch.linalg.svd(matrix)
    captured, take = whole - torch.sum(singular**exponent), 0
    while captured < threshold * whole:
        captured = captured + singular[take] ** exponent
        take += 1
    return torch.linalg.qr(torch.cat([m, left[:, :take]], 1)).Q


def test_sums_of_clients_are_the_sum_of_all_and_take_no_more_room():
    x = inputs(300, 12, 12)
    whole = nothing(12).add(x)
    parts = [nothing(12).add(part) for part in (x[:7], x[7:150], x[150:])]

    together = summed(parts)

    assert together.count == 300
    assert torch.allclose(together.total, whole.total, atol=1e-12)
    assert torch.allclose(whole.mean, moment(x), atol=1e-14)
    assert whole.total.numel() == nothing(12).total.numel()


def test_statistics_travel_as_a_triangle():
    sent = nothing(9).add(inputs(50, 9, 9))

    back = unpack(pack(sent), 9, sent.count)

    assert pack(sent).numel() == 45
    assert torch.allclose(back.total, sent.total, rtol=1e-6, atol=1e-6)
    with pytest.raises(FedloraError, match="width 10"):
        unpack(pack(sent), 10, sent.count)
    with pytest.raises(FedloraError, match="NaN"):
        unpack(torch.full((45,), math.nan), 9, 3)


def test_features_with_nan_are_refused():
    with pytest.raises(FedloraError, match="NaN"):
        nothing(4).add(torch.full((3, 4), math.nan))
    with pytest.raises(FedloraError, match="NaN"):
        Memory.empty(4).grow(torch.full((4, 4), math.nan, dtype=torch.float64), 0.9)


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("old_rank", [5, 14])  # M is kept, or its complement
def test_a_designed_branch_leaves_old_inputs_alone(energy, old_rank):
    old, new = inputs(200, 20, old_rank, 1), inputs(200, 20, 20, 2)
    memory = Memory.empty(20).grow(moment(old), 1.0, energy)

    down = design_down(moment(new), memory, 4, "task 2")
    delta = torch.randn(8, 4, dtype=torch.float64) @ down

    assert memory.size == old_rank
    assert memory.complement == (old_rank > 10)
    assert torch.allclose(3 * down @ down.T, torch.eye(4, dtype=torch.float64), atol=1e-14)
    assert (down @ dense(memory)).norm() < 1e-14
    assert (delta @ old.T).norm() / (delta @ new.T).norm() < 1e-14
    # The rows lie in the projection of the new task's space, all of it, not in an intersection.
    assert (delta @ new.T).norm() > 0.1 * delta.norm()


@pytest.mark.parametrize("energy", ENERGIES)
def test_the_dual_form_equals_the_plain_one_task_after_task(energy):
    memory, plain = Memory.empty(16), torch.zeros(16, 0, dtype=torch.float64)
    forms = []
    for task, threshold in enumerate((0.9, 0.95, 0.99, 0.999)):
        c = moment(inputs(400, 16, 16, task))
        memory = memory.grow(c, threshold, energy)
        plain = grown_plainly(plain, c, threshold, energy)
        forms.append(memory.complement)
        assert memory.size == plain.shape[1]
        assert torch.allclose(dense(memory), plain @ plain.T, atol=1e-11)
    assert True in forms
    if energy == "covariance":
        assert False in forms


def test_both_forms_project_alike_to_the_last_digits():
    basis = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    c = moment(inputs(100, 12, 12))

    by_memory = Memory(basis[:, :5]).beyond(c)
    by_complement = Memory(basis[:, 5:], complement=True).beyond(c)

    assert torch.allclose(by_memory, by_complement, atol=1e-14)


@pytest.mark.parametrize("energy", ENERGIES)
def test_the_threshold_is_the_share_it_says(energy):
    c = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64))
    shares = torch.tensor([8.0, 12.0, 14.0, 15.0]) / 15
    if energy == "covariance":
        shares = torch.tensor([64.0, 80.0, 84.0, 85.0]) / 85

    sizes = [
        Memory.empty(4).grow(c, float(share) + nudge, energy).size
        for share in shares[:3]
        for nudge in (-1e-6, 1e-6)
    ]

    assert sizes == [1, 2, 2, 3, 3, 4]


def test_a_task_whose_energy_is_held_already_adds_nothing():
    c = moment(inputs(100, 10, 3))
    memory = Memory.empty(10).grow(c, 1.0)
    assert memory.grow(c, 0.999) is memory


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.0001, math.nan])
def test_thresholds_outside_their_range_are_refused(threshold):
    with pytest.raises(FedloraError, match="threshold"):
        Memory.empty(4).grow(torch.eye(4, dtype=torch.float64), threshold)


def test_a_threshold_of_one_takes_what_is_there_and_nothing_arbitrary():
    """A count of directions until >= 1 runs past the rank by rounding, into directions of noise."""
    old = inputs(200, 16, 3)
    memory = Memory.empty(16).grow(moment(old), 1.0)
    # The wrong version: all directions, since the sum of shares may stay below 1 by rounding.
    arbitrary = Memory.empty(16).grow(torch.eye(16, dtype=torch.float64), 1.0)

    assert memory.size == 3
    assert design_down(moment(inputs(99, 16, 16)), memory, 4, "task 2").shape == (4, 16)
    with pytest.raises(FedloraError, match=r"task 2.*0 directions"):
        design_down(moment(inputs(99, 16, 16)), arbitrary, 4, "task 2")


def test_a_rank_above_what_is_left_names_the_place():
    memory = Memory.empty(10).grow(torch.eye(10, dtype=torch.float64)[:, :].clone(), 0.85)
    assert memory.size == 9
    with pytest.raises(FedloraError, match=r"task 3 'c', layer x.v_proj.*1 directions.*lora.rank"):
        design_down(torch.eye(10, dtype=torch.float64), memory, 2, "task 3 'c', layer x.v_proj")
    with pytest.raises(FedloraError, match="1 directions"):
        random_down(memory, 2, torch.Generator(), "task 3")


def test_directions_without_energy_are_not_offered():
    """The complement is wide, but the new task uses two directions of it: a third is arbitrary."""
    memory = Memory.empty(16).grow(moment(inputs(100, 16, 3, 1)), 1.0)
    with pytest.raises(FedloraError, match="2 directions"):
        design_down(moment(inputs(100, 16, 2, 2)), memory, 3, "task 2")


def test_a_thin_decomposition_has_no_complement():
    basis = torch.linalg.qr(torch.randn(8, 5, dtype=torch.float64)).Q
    thin = torch.linalg.svd(basis, full_matrices=False).U[:, 5:]

    memory = Memory.empty(8).grow(basis @ basis.T, 0.99)

    assert thin.shape == (8, 0)  # the wrong version: nothing left, whatever the data
    assert memory.complement
    assert memory.basis.shape == (8, 3)
    assert (memory.basis.T @ basis).norm() < 1e-14


def test_a_mislabelled_form_projects_onto_the_old_tasks():
    """M itself stored under the complement's label: a branch then writes where it must not."""
    old = inputs(100, 8, 5, 1)
    memory = Memory.empty(8).grow(moment(old), 1.0)
    wrong = Memory(torch.linalg.svd(moment(old)).U[:, :5], complement=True)
    new = moment(inputs(100, 8, 8, 2))

    right = design_down(new, memory, 2, "")
    mislabelled = design_down(new, wrong, 2, "")

    assert (right @ old.T).norm() < 1e-13
    assert (mislabelled @ old.T).norm() > 1


def test_swapped_factors_are_felt_by_old_inputs():
    """The space of outputs in place of inputs, as where lora_A and lora_B are mistaken."""
    rng = torch.Generator().manual_seed(5)
    weight = torch.randn(12, 12, generator=rng, dtype=torch.float64)
    old, new = inputs(100, 12, 4, 1), inputs(100, 12, 12, 2)
    right = Memory.empty(12).grow(moment(old), 1.0)
    swapped = Memory.empty(12).grow(moment(old @ weight.T), 1.0)

    felt = [(design_down(moment(new), memory, 3, "") @ old.T).norm() for memory in (right, swapped)]

    assert felt[0] < 1e-13
    assert felt[1] > 0.1
