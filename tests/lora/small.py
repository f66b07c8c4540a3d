"""CLIPs of no size with random weights, and a federated model that knows nothing of CLIP."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from fedlora.backbone.clip import ClipTowers, image_input
from fedlora.lora import CLIPLoRAWrapper, FederatedCLIPModel, LoRAConfig

CLASSES = 4
NAMES = ("cat", "dog", "cow", "horse")


class Letters:
    """A tokenizer: one letter, one token; 1 ends a text."""

    def __call__(self, texts, **_):
        rows = [[0, *(2 + ord(letter) % 60 for letter in text), 1] for text in texts]
        longest = max(map(len, rows))
        ids = [row + [1] * (longest - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def towers(seed: int = 0, width: int = 16) -> ClipTowers:
    shared = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = CLIPConfig(
        text_config={
            **shared, "hidden_size": 16, "vocab_size": 64, "max_position_embeddings": 40,
            "bos_token_id": 0, "eos_token_id": 1,
        },
        vision_config={
            **shared, "hidden_size": width, "image_size": 8, "patch_size": 4, "num_channels": 3,
        },
        projection_dim=8,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config).eval()
    return ClipTowers(model, Letters(), image_input(config), "small")


def clip(names=NAMES, seed: int = 0, width: int = 16, **options) -> FederatedCLIPModel:
    return FederatedCLIPModel(towers(seed, width), CLASSES, names, **options)


def wrapped(parts=("encoder",), model: FederatedCLIPModel | None = None, **config):
    """A wrapper whose adapter changes something."""
    settings = LoRAConfig(**{"r": 2, "lora_alpha": 4, "lora_dropout": 0.0} | config)
    wrapper = CLIPLoRAWrapper(model or clip(), settings, parts)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wrapper.apply_lora_to_federated_model()
    stir(wrapper)
    return wrapper


def stir(wrapper, seed: int = 1) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = wrapper.get_parameters()
    wrapper.set_parameters([v + 0.2 * torch.randn(v.shape, generator=draw).numpy() for v in values])


def batch(count: int = 6, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=draw), torch.arange(count) % CLASSES


class Plain(nn.Module):
    """What people bring: layers, an optimiser and a schedule of its own, and the four methods."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(6, 12)
            self.second = nn.Linear(12, CLASSES)
        self.learning_rate = 0.1
        self.optimizer = torch.optim.SGD(self.parameters(), lr=self.learning_rate, momentum=0.5)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.99)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))

    def train_step(self, data, labels):
        self.train()
        loss = functional.cross_entropy(self(data), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, data, labels):
        self.eval()
        logits = self(data)
        return {"accuracy": float((logits.argmax(-1) == labels).float().mean())}

    def get_parameters(self):
        return [p.detach().numpy().copy() for p in self.parameters()]

    def set_parameters(self, values):
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(np.asarray(value)))
