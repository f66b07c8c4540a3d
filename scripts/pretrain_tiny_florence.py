"""Pretrain a tiny Florence-2 for trials of detection, on scenes that no task holds.

    python scripts/pretrain_tiny_florence.py models/tiny_florence

It sees scenes of Fashion-MNIST's training images that are not in the shipped subset and of 5,000
images of MNIST, and learns to name every object and its box. Needs
`make data ONLY="fashion_mnist mnist"`; minutes on two idle cores.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional
from transformers import (
    BartConfig,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2VisionConfig,
    PreTrainedTokenizerFast,
)

from fedlora import atomic
from fedlora.finetune.objectives.object_detection import PROMPT
from fedlora.tasks.detection.locations import BINS, Found, quantise, to_text
from fedlora.tasks.detection.scenes import Canvas, Scene, compose
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, FashionMnist
from fedlora.tasks.sources.mnist import Mnist

ASSETS = Path(__file__).parents[1] / "fedlora" / "assets"
CANVAS = Canvas(size=36, grid=3, smallest=12, largest=21, most=2)
PATCH = 6
LABELS = (*LABEL_NAMES, *(str(digit) for digit in range(10)))
STEPS = 1200
BATCH = 32
LEARNING_RATE = 2e-3
POOL = 12000
SEED = 20170825


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Words, marks and location tokens, framed by <s> and </s> as BART's are."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = sorted({word for text in (*LABELS, PROMPT) for word in _words(text)})
    vocabulary = {token: i for i, token in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(["<image>"])
    tokenizer.add_tokens([AddedToken(f"<loc_{i}>", normalized=False) for i in range(BINS)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>",
        unk_token="<unk>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip


def _words(text: str) -> list[str]:
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    return [word for word, _ in split.pre_tokenize_str(text)]


def model_config(tokenizer: PreTrainedTokenizerFast) -> Florence2Config:
    """Patches of 6 x 6 pixels, one block of DaViT, one and two layers of BART, width 96."""
    width = 96
    vision = Florence2VisionConfig(
        in_channels=1, depths=(1,), patch_size=(PATCH,), patch_stride=(PATCH,), patch_padding=(0,),
        patch_prenorm=(False,), embed_dim=(width,), num_heads=(4,), num_groups=(4,),
        window_size=3, drop_path_rate=0.0, mlp_ratio=2.0, projection_dim=width,
    )  # fmt: skip
    text = BartConfig(
        vocab_size=len(tokenizer), max_position_embeddings=96, d_model=width,
        encoder_layers=1, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width, dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, init_std=0.05, bos_token_id=0, pad_token_id=1, eos_token_id=2,
        decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    image = tokenizer.convert_tokens_to_ids("<image>")
    return Florence2Config(text_config=text, vision_config=vision, image_token_id=image)


def item_pool() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 28, 28) and indices into LABELS."""
    fashion = FashionMnist(FashionMnist.Config(full=True)).load().examples
    with np.load(ASSETS / "fashion_mnist" / "subset.npz", allow_pickle=False) as subset:
        rows = np.setdiff1d(np.arange(60000), subset["train_rows"])
    digits = Mnist(Mnist.Config()).load().examples
    assert fashion.labels is not None
    assert digits.labels is not None
    images = np.concatenate([np.asarray(fashion.inputs)[rows], np.asarray(digits.inputs)])
    return images, np.concatenate([fashion.labels[rows], digits.labels + len(LABEL_NAMES)])


def scenes(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == label) for label in range(len(LABELS))]
    return [compose(images, rows, CANVAS, rng) for _ in range(count)]


def encode(
    made: Sequence[Scene], labels: np.ndarray, tokenizer: PreTrainedTokenizerFast
) -> tuple[Tensor, Tensor]:
    """Pixels (n, 1, size, size) in [-1, 1] and padded token ids (n, t)."""
    texts = [
        to_text(
            [
                Found(LABELS[labels[item]], quantise(box, CANVAS.size, CANVAS.size))
                for item, box in zip(scene.items, scene.boxes, strict=True)
            ]
        )
        for scene in made
    ]
    pixels = torch.from_numpy(np.stack([scene.image for scene in made]))
    return 2 * pixels - 1, tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]


def train(
    model: Florence2ForConditionalGeneration,
    pixels: Tensor,
    targets: Tensor,
    prompt: Tensor,
    steps: int,
) -> None:
    draw = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    model.train()
    started, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        rows = torch.randint(len(pixels), (BATCH,), generator=draw)
        loss = loss_of(model, pixels[rows], targets[rows], prompt)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step}/{steps}  loss {total / 100:.4f}  {seconds:.0f} s", flush=True)
            total = 0.0


def loss_of(
    model: Florence2ForConditionalGeneration, pixels: Tensor, targets: Tensor, prompt: Tensor
) -> Tensor:
    """Nats a token of the targets (n, t), <s> and </s> included."""
    longest = int((targets != 1).sum(1).max())
    targets = targets[:, :longest]
    started = torch.cat([torch.full((len(targets), 1), 2), targets[:, :-1]], 1)
    logits = model(
        input_ids=prompt.expand(len(pixels), -1), pixel_values=pixels, decoder_input_ids=started
    ).logits
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="the folder to write, in transformers' format")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    model = Florence2ForConditionalGeneration(model_config(tokenizer))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    images, labels = item_pool()
    pixels, targets = encode(scenes(images, labels, POOL, SEED), labels, tokenizer)
    tokens = 1 + (CANVAS.size // PATCH) ** 2
    image = torch.full((1, tokens), tokenizer.convert_tokens_to_ids("<image>"))
    prompt = torch.cat([image, tokenizer(PROMPT, return_tensors="pt")["input_ids"]], 1)
    train(model, pixels, targets, prompt, arguments.steps)
    save(model, tokenizer, tokens, arguments.target)


def save(
    model: Florence2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    tokens: int,
    target: Path,
) -> None:
    images = {
        "size": {"height": CANVAS.size, "width": CANVAS.size}, "image_seq_length": tokens,
        "image_mean": [0.5], "image_std": [0.5],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        model.eval().save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (Path(scratch) / "preprocessor_config.json").write_text(json.dumps(images, indent=1))
        for file in sorted(Path(scratch).iterdir()):
            atomic.write_bytes(target / file.name, file.read_bytes())


if __name__ == "__main__":
    main()
