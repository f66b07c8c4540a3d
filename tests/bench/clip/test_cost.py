"""What is measured on ViT-B/32, on a CLIP of no size."""

import pytest
import torch
from transformers import CLIPConfig

from fedlora.bench.clip import cost


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**shared, "num_hidden_layers": 1, "vocab_size": 64},
        vision_config={**shared, "num_hidden_layers": 2, "image_size": 224, "patch_size": 56},
        projection_dim=16,
    )
    monkeypatch.setattr(cost, "CLIPConfig", lambda: config)
    monkeypatch.setattr(cost, "RANKS", (2, 4))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_values_and_bytes_are_those_of_the_adapter_and_of_the_model():
    two, four = cost.counts()
    # Of each of two blocks: q, k, v of 32 x 32, and the MLP's 32 x 64 and 64 x 32.
    assert two["trainable"] == 2 * 2 * (3 * 64 + 2 * 96)
    assert (two["adapter"], four["trainable"]) == (4 * two["trainable"], 2 * two["trainable"])
    whole = cost.vit_b_32()
    assert two["full"] == 4 * sum(p.numel() for p in whole.parameters())
    assert 0 < two["adapter"] < two["vision"] < two["full"]


def test_disabled_is_plain_and_merged_is_adapted():
    disabled, merged = cost.differences()
    assert disabled == 0
    assert 0 < merged <= 1e-5


def test_steps_are_compared_in_pairs():
    found = cost.overhead(6)
    assert 0.2 < found["low"] <= found["ratio"] <= found["high"] < 5


def test_a_process_tells_its_seconds_and_its_peak():
    seconds, peak = cost._cost(checkpointing=True, steps=1)
    assert seconds > 0
    assert peak is None or peak >= 0
