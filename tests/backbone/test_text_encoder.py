"""The sentence encoder, and a client's prompts as it sees them."""

import numpy as np
import torch

from fedlora.backbone import AdapterSlot, load_base
from fedlora.backbone.text_encoder import open_encoder
from fedlora.config import BackboneConfig, LoraSection, TaskVectorConfig
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.task_vector import task_vector
from fedlora.tasks.contract import Examples

TEXTS = ["the team won the match", "shares fell on the market", "a goal in the last minute"]


def test_an_encoding_is_of_norm_one_and_of_its_text_alone() -> None:
    encoder = open_encoder()
    together = encoder.encode([*TEXTS, "a very long sentence about nothing " * 9, TEXTS[0]])
    assert together.shape == (5, encoder.width)
    assert torch.allclose(together.norm(dim=1), torch.ones(5))
    assert torch.equal(together[0], together[4])
    encoder._known.clear()
    assert torch.allclose(encoder.encode(TEXTS), together[:3], atol=1e-5)
    near = together[:3] @ together[:3].T
    assert near[0, 2] > near[0, 1]


def test_a_clients_prompts_are_the_encodings_of_its_texts() -> None:
    slot = AdapterSlot(load_base(BackboneConfig(name="minilm")), LoraSection(), torch.device("cpu"))
    objective = objective_for(slot, "text-classification", ("sport", "business"), False, 32)
    rows = objective.encode(Examples(TEXTS, np.array([0, 1, 0])))
    vector = task_vector(objective, rows, TaskVectorConfig(samples=8, features=("prompts",)))
    prompts = vector.view(8, -1)
    assert torch.allclose(prompts[:3], open_encoder().encode(TEXTS), atol=1e-5)
    assert torch.equal(prompts[3:6], prompts[:3])
