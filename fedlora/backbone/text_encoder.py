"""The frozen sentence encoder that prompts are read with."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig

from fedlora.backbone.load import BaseModel, load_base
from fedlora.backbone.weights import loading, locate
from fedlora.config import BackboneConfig
from fedlora.errors import FedloraError

BATCH = 64


class TextEncoder:
    """Sentence-BERT (Reimers and Gurevych 2019): the normalised mean of the last layer's states.

    Each text is encoded once a process; `width` features each, of its first `max_length` tokens.
    """

    def __init__(self, base: BaseModel, max_length: int) -> None:
        self._base, self.max_length = base, max_length
        self._known: dict[str, Tensor] = {}
        self.digest = base.digest
        self.width = int(base.model.get_input_embeddings().embedding_dim)  # type: ignore[operator]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(n, width) float32, each row of norm one."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        # texts of similar length share a batch, so that little of it is padding
        new.sort(key=len)
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            self._known |= zip(batch, self._encode(batch), strict=True)
        if not texts:
            return torch.empty(0, self.width)
        return torch.stack([self._known[text] for text in texts])

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Tensor:
        assert self._base.tokenizer is not None
        rows = self._base.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        states = self._base.model(**rows).last_hidden_state.float()
        weight = rows["attention_mask"].unsqueeze(-1).float()
        pooled = (states * weight).sum(1) / weight.sum(1)
        return functional.normalize(pooled, dim=-1).clone()


@lru_cache(maxsize=1)
def open_encoder(name: str = "minilm", max_length: int = 128) -> TextEncoder:
    """The process's one encoder, on the CPU: an embedded name, a local folder, or a hub id.

    Raises:
        FedloraError: it cannot be loaded, or is no text encoder.
    """
    base = load_base(BackboneConfig(name=name, max_length=max_length), "encoder.name")
    if base.modality != "text":
        raise FedloraError(f"encoder.name: '{name}' is a {base.modality} model; choose minilm")
    return TextEncoder(base, max_length)


def encoder_width(name: str, max_length: int = 128) -> int:
    """Features of an encoding, from the model's configuration alone.

    Raises:
        FedloraError: there is no such model, it reads no text, or not as much.
    """
    where = locate(name, "encoder.name")
    if (folder := Path(where)).is_dir():
        for files in ("*.safetensors", "tokenizer*"):
            if not any(folder.glob(files)):
                raise FedloraError(
                    f"encoder.name: {folder} has no {files}; give a folder that save_pretrained"
                    " of a model and of its tokenizer wrote, or choose minilm"
                )
    with loading("encoder.name", name, "minilm"):
        said = AutoConfig.from_pretrained(where)
    if not hasattr(said, "vocab_size") or not hasattr(said, "hidden_size"):
        raise FedloraError(f"encoder.name: '{name}' is no text encoder; choose minilm")
    longest = getattr(said, "max_position_embeddings", max_length)
    if max_length > longest:
        raise FedloraError(
            f"encoder.max_length={max_length}: '{name}' reads {longest} tokens at most; lower it"
        )
    return int(said.hidden_size)
