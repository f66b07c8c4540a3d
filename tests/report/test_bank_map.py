import pytest
import torch

from fedlora.report.bank_map import principal, read
from fedlora.report.groups import SCALE, groups
from fedlora.report.run_folder import SeedFolder


def test_principal_coordinates_keep_the_distances_of_points_in_a_plane():
    random = torch.Generator().manual_seed(0)
    plane = torch.randn(20, 2, generator=random, dtype=torch.float64)
    turned = (
        plane @ torch.linalg.qr(torch.randn(2, 9, generator=random, dtype=torch.float64).T)[0].T
    )
    turned = turned + 5

    found, share = principal(turned @ turned.T)

    assert share == pytest.approx(1)
    assert torch.allclose(torch.cdist(found, found), torch.cdist(plane, plane), atol=1e-6)


def test_principal_coordinates_are_those_of_pca():
    random = torch.Generator().manual_seed(1)
    points = torch.randn(30, 6, generator=random, dtype=torch.float64)

    found, share = principal(points @ points.T)

    left, singular, _ = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    assert torch.allclose(found.abs(), (left[:, :2] * singular[:2]).abs(), atol=1e-8)
    assert share == pytest.approx(float((singular[:2] ** 2).sum() / (singular**2).sum()))


def test_the_map_holds_bank_and_newcomers(finished):
    found = read(SeedFolder(finished / "seed-0", 0))

    assert found is not None
    assert len(found.tasks) == len(found.vectors) == len(found.adapters) == 22
    assert sum(found.newcomer) == 12
    assert all(0 < share <= 1 for share in found.shares)


def test_names_with_a_number_are_coloured_by_it():
    found = groups(["rotation=0,blur=1", "rotation=45,blur=1", "rotation=90,blur=1"])

    assert found.title == "rotation"
    assert found.roles == [SCALE[0], SCALE[2], SCALE[4]]


def test_a_factor_that_some_names_lack_colours_nothing():
    assert groups(["rotation=0", "rotation=1", "rotation=2", "blur=1"]).title == "kind of task"
    assert groups([f"task {i}" for i in range(9)]).legend == []
    assert groups([]).roles == []
