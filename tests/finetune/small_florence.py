"""A Florence-2 of random weights, built from its own configuration and saved as a folder."""

import json
from pathlib import Path

import torch
from transformers import (
    BartConfig,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2VisionConfig,
)

from scripts.pretrain_tiny_florence import make_tokenizer

SIZE = 32


def save_small(folder: Path) -> Path:
    """Two stages of DaViT on colour images, two and two layers of BART."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    vision = Florence2VisionConfig(
        in_channels=3, depths=(1, 1), patch_size=(7, 3), patch_stride=(4, 2), patch_padding=(3, 1),
        patch_prenorm=(False, True), embed_dim=(8, 16), num_heads=(2, 2), num_groups=(2, 2),
        window_size=4, projection_dim=16,
    )  # fmt: skip
    text = BartConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, d_model=16, encoder_layers=2,
        decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, bos_token_id=0, pad_token_id=1, eos_token_id=2,
        decoder_start_token_id=2, forced_eos_token_id=None, init_std=0.5,
    )  # fmt: skip
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = Florence2Config(text_config=text, vision_config=vision, image_token_id=image)
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    prepared = {
        "size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder
