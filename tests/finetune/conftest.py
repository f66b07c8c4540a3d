import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> None:
    """Models this small only wait for each other's threads."""
    torch.set_num_threads(1)
