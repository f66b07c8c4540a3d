import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.client.client import Client
from fedlora.finetune.local import fresh, train
from tests.conftest import small_config


@pytest.fixture(scope="session")
def trained() -> tuple[LoraAdapter, LoraAdapter]:
    """An adapter of the tiny vision transformer before and after training on real images."""
    torch.set_num_threads(1)
    client = Client(small_config(tasks={"splits": {"train": 64}}), seed=0)
    desk = client.desk(0)
    start = fresh(desk.objective, 1)
    settings = client.config.finetune
    return start, train(desk.objective, start, desk.train, None, settings, seed=2).adapters[-1]
