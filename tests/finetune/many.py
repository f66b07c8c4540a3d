"""Small frozen models of several architectures, and clients that differ in all they may."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import pytest
import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPForImageClassification,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from fedlora.adapter import LoraAdapter
from fedlora.backbone import AdapterSlot, BaseModel, load_base
from fedlora.backbone.weights import digest
from fedlora.config import BackboneConfig, LoraSection, TrainSection
from fedlora.finetune import trainer
from fedlora.finetune.batched import Outcome, train_many
from fedlora.finetune.job import Job
from fedlora.finetune.objectives import Objective, Rows, objective_for

IMAGES = ("tiny_vit", "clip")
TEXTS = ("minilm", "smollm2_tiny", "gpt2")


@lru_cache
def slot(
    name: str, dtype: torch.dtype = torch.float64, device: str = "cpu", **lora: object
) -> AdapterSlot:
    """One of the models, wrapped; equal calls get the same one."""
    settings = LoraSection.model_validate({"rank": 4, "alpha": 8} | lora)
    return AdapterSlot(_base(name, dtype), settings, torch.device(device))


def objective(where: AdapterSlot, number: int = 0, head: bool = False) -> Objective:
    """A task on a model; different numbers have different labels where there are labels."""
    if where.base.modality == "vision":
        labels = where.base.labels[number % 3 : 5 + number % 2]
        return objective_for(where, "image-classification", labels, head, 16)
    if where.base.modality == "text":
        labels = ("sport", "business", "science", "art")[number % 2 :]
        return objective_for(where, "text-classification", labels, head, 16)
    return objective_for(where, "language-modelling", (), False, 16)


def examples(task: Objective, count: int, seed: int) -> Rows:
    """Rows that mean nothing, texts of different lengths."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(max(len(task.label_names), 1), (count,), generator=rng)
    if task.slot.base.modality == "vision":
        config = task.slot.base.model.config
        size = (config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": torch.rand(count, *size, generator=rng), "labels": labels}
    longest = 6 + seed % 5
    lengths = torch.randint(3, longest + 1, (count, 1), generator=rng)
    mask = (torch.arange(longest) < lengths).long()
    ids = torch.randint(1, 60, (count, longest), generator=rng) * mask
    return {"input_ids": ids, "attention_mask": mask, "target": mask, "labels": labels}


def clients(
    name: str, dtype: torch.dtype, head: bool = False, device: str = "cpu", **lora: object
) -> list[Job]:
    """Four that differ in examples and in every setting of their training."""
    where = slot(name, dtype, device, **lora)
    settings = [
        TrainSection(epochs=2, batch_size=4, learning_rate=3e-3, clip_norm=0.05),
        TrainSection(epochs=3, batch_size=2, learning_rate=1e-2, weight_decay=0.1),
        TrainSection(epochs=8, batch_size=3, learning_rate=5e-2, patience=1),
        TrainSection(epochs=1, batch_size=8),
    ]
    jobs = []
    for number, (how, count) in enumerate(zip(settings, (9, 4, 5, 3), strict=True)):
        task = objective(where, number, head)
        watched = examples(task, 6, 100 + number) if how.patience else None
        rows = examples(task, count, number)
        jobs.append(Job(task, start(task, number), rows, watched, how, seed=number, keep=2))
    return jobs


def groups_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that trainers train at once from now on."""
    sizes: list[int] = []

    def counted(jobs: Sequence[Job], go_on: Callable[[int], bool]) -> list[Outcome]:
        sizes.append(len(jobs))
        return train_many(jobs, go_on)

    monkeypatch.setattr(trainer, "train_many", counted)
    return sizes


def start(task: Objective, seed: int) -> LoraAdapter:
    """An adapter whose `up` is not zero, so that every gradient flows from the first step."""
    rng = torch.Generator().manual_seed(seed)
    first = task.slot.read(task.first_head())
    layers = first.spec.size - first.spec.head_size
    values = torch.randn(layers, generator=rng) / 20
    return LoraAdapter.from_flat(first.spec, torch.cat([values, first.flatten()[layers:]]))


def _base(name: str, dtype: torch.dtype) -> BaseModel:
    if name in ("tiny_vit", "minilm", "smollm2"):
        base = load_base(BackboneConfig(name=name))
        base.model.to(dtype)
        if base.classifier is not None:
            base.classifier.to(dtype)
        return base
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _made(name).to(dtype).eval().requires_grad_(False)
    classifier, labels = None, ()
    if isinstance(model, CLIPForImageClassification):
        classifier, model.classifier = model.classifier, nn.Identity()
        model.config.num_channels = model.config.vision_config.num_channels
        model.config.image_size = model.config.vision_config.image_size
        labels = tuple("abcdef")
    modality = "vision" if classifier is not None else "causal-lm"
    return BaseModel(model, modality, None, classifier, labels, name, digest(model), 0)


def _made(name: str) -> nn.Module:
    """An architecture with random weights, small."""
    if name == "clip":
        vision = CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
            image_size=8, patch_size=4, projection_dim=8,
        )  # fmt: skip
        config = CLIPConfig(vision_config=vision.to_dict(), num_labels=6)
        return CLIPForImageClassification(config)
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(
            vocab_size=64, n_positions=32, n_embd=16, n_layer=3, n_head=2, initializer_range=0.2
        ))  # fmt: skip
    # SmolLM2-135M, with 3 of its 30 blocks and an eighth of its width a head.
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=72, intermediate_size=192, num_hidden_layers=3,
        num_attention_heads=9, num_key_value_heads=3, initializer_range=0.2,
        tie_word_embeddings=True, rms_norm_eps=1e-5, hidden_act="silu",
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    ))  # fmt: skip
