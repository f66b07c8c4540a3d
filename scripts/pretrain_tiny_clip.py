"""Pretrain the tiny CLIP that ships with fedlora, on images that no federation ever holds.

    python scripts/fetch_data.py --only fashion_mnist
    python -m scripts.pretrain_tiny_clip ~/.cache/fedlora/fashion_mnist

It sees the training images of Fashion-MNIST that are not in the shipped subset, upright, half of
them mirrored, each beside a caption of its class. Minutes on one core.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from fedlora.backbone.clip import TEMPLATES, ClipTowers, ImageInput, fill
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES
from scripts.pretraining import (
    ASSETS,
    arguments,
    augment,
    pretraining_images,
    publish,
    read_split,
    train,
)

CAPTIONS = (
    "a photo of a {}.",
    "a grey photo of a {}.",
    "a small picture of a {}.",
    "an image of a {} on black.",
    "one {}, seen from the front.",
    "clothing: a {}.",
    "this is a {}.",
    "{}",
)
UNSEEN_TEMPLATE = "a picture: one small {}."
# Mean and standard deviation of Fashion-MNIST's training pixels.
IMAGES = ImageInput(28, 3, (0.286,) * 3, (0.353,) * 3)
WIDTH = 64  # of the common space
EPOCHS = 8
LARGEST_LOG_SCALE = 4.6052  # ln 100, where CLIP's paper stops it


def model_config(vocabulary: int) -> CLIPConfig:
    """Patches of 7 x 7 pixels, vision width 128 and four layers, text width 64 and two."""
    vision = {
        "image_size": IMAGES.size, "patch_size": 7, "num_channels": IMAGES.channels,
        "hidden_size": 128, "intermediate_size": 256,
        "num_hidden_layers": 4, "num_attention_heads": 4, "projection_dim": WIDTH,
    }  # fmt: skip
    text = {
        "vocab_size": vocabulary, "max_position_embeddings": 32,
        "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": WIDTH,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)


def train_tokenizer(captions: list[str]) -> PreTrainedTokenizerFast:
    """Byte pairs over the captions; the bytes themselves are in it, so any name can be read."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=384, special_tokens=[start, end], initial_alphabet=sorted(alphabet)
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 0), (end, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=start,
        eos_token=end,
        pad_token=end,
        model_max_length=32,
    )


def loss_of(towers: ClipTowers, images: Tensor, labels: Tensor, captions: Tensor) -> Tensor:
    """CLIP's loss, every caption of an image's class counting as its own.

    Both directions are cross entropies against targets shared by all pairs of one class (UniCL,
    arXiv 2204.03610), since a batch holds each class several times.
    """
    model = towers.model
    shown = functional.normalize(model.get_image_features(images).pooler_output, dim=-1)
    kinds, which = captions.unique(return_inverse=True)
    texts = fill(CAPTIONS, LABEL_NAMES)
    pooled = model.get_text_features(**towers.tokens([texts[k] for k in kinds])).pooler_output
    told = functional.normalize(pooled, dim=-1)[which]
    logits = model.logit_scale.exp() * shown @ told.T
    same = (labels[:, None] == labels).float()
    target = same / same.sum(1, keepdim=True)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


@torch.inference_mode()
def zero_shot_accuracy(
    towers: ClipTowers, images: Tensor, labels: Tensor, template: str = TEMPLATES[0]
) -> float:
    """The share of images nearest to their own class's name; images (n, 1, 28, 28) in [0, 1]."""
    rows = replace(towers, templates=(template,)).name_rows(LABEL_NAMES)
    right = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        features = towers.model.get_image_features(towers.images.prepare(x)).pooler_output
        right += int((features @ rows.T).argmax(-1).eq(y).sum())
    return right / len(labels)


def save(towers: ClipTowers, target: Path, measured: dict[str, float]) -> None:
    """The folder that transformers loads, and what was measured."""
    described: dict[str, Any] = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": IMAGES.size},
        "crop_size": {"height": IMAGES.size, "width": IMAGES.size},
        "image_mean": list(IMAGES.mean),
        "image_std": list(IMAGES.std),
    }

    def write(folder: Path) -> None:
        towers.model.save_pretrained(folder)
        towers.tokenizer.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(described, indent=2) + "\n")
        (folder / "measured.json").write_text(json.dumps(measured, indent=2) + "\n")

    publish(write, target)


def main() -> None:
    given = arguments(str(__doc__).splitlines()[0], ASSETS / "tiny_clip", threads=1)
    tokenizer = train_tokenizer(fill(CAPTIONS, LABEL_NAMES))
    model: Any = CLIPModel(model_config(len(tokenizer)))
    towers = ClipTowers(model, tokenizer, IMAGES, "tiny_clip")

    def batch_loss(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        pixels = IMAGES.prepare(augment(images, generator))
        template = torch.randint(len(CAPTIONS), (len(labels),), generator=generator)
        return loss_of(towers, pixels, labels, labels * len(CAPTIONS) + template)

    def bound_scale() -> None:
        model.logit_scale.clamp_(max=LARGEST_LOG_SCALE)

    train(model, pretraining_images(given.folder), EPOCHS, batch_loss, bound_scale)
    test = read_split(given.folder, "t10k")
    measured = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "zero-shot test accuracy": zero_shot_accuracy(towers, *test),
        "with a template it never saw": zero_shot_accuracy(towers, *test, UNSEEN_TEMPLATE),
    }
    save(towers, given.target, measured)
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
