"""What an experiment leaves: a generator, its prompts' encoder, and what its adapters are of."""

import json
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from fedlora import atomic
from fedlora.backbone.text_encoder import TextEncoder, open_encoder
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.generators.saved import load_generator
from fedlora.pipeline.experiment.checkpoints import KnownBase
from fedlora.pipeline.experiment.settings import EncoderConfig
from fedlora.section import parse

ENCODER, BASE = "encoder.json", "base.json"

T = TypeVar("T", bound=BaseModel)


class KnownEncoder(EncoderConfig):
    """An encoder and the SHA-256 of its weights."""

    digest: str


class FinalModel(NamedTuple):
    """The generator, the encoder that it learned to read prompts by, and the base model."""

    generator: Generator
    encoder: TextEncoder
    base: KnownBase


def save(folder: Path, model: FinalModel, config: EncoderConfig) -> None:
    """Write a folder that can be copied anywhere, whole or not at all.

    config: what the encoder was opened by; a local folder is written down by its absolute path.

    Raises:
        FedloraError: the folder cannot be written.
    """
    local = Path(config.name).expanduser()
    known = KnownEncoder(
        name=str(local.resolve()) if local.is_dir() else config.name,
        max_length=config.max_length,
        digest=model.encoder.digest,
    )
    with atomic.folder(folder) as draft:
        model.generator.save(draft)
        for file, said in ((ENCODER, known), (BASE, model.base)):
            (draft / file).write_text(said.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> FinalModel:
    """The inverse of `save`.

    Raises:
        FedloraError: a file is missing or damaged, or the encoder there is another one by now.
    """
    generator, file = load_generator(folder), folder / ENCODER
    known, base = _read(file, KnownEncoder), _read(folder / BASE, KnownBase)
    encoder = open_encoder(known.name, known.max_length)
    if encoder.digest != known.digest:
        raise FedloraError(
            f"{file}: '{known.name}' is another encoder ({encoder.digest[:12]}) than the generator"
            f" learned from ({known.digest[:12]}); name that one there"
        )
    return FinalModel(generator, encoder, base)


def _read(file: Path, model: type[T]) -> T:
    """What a file of JSON says."""
    try:
        return parse(model, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FedloraError(
            f"{file}: no such file, and only it knows which encoder reads the prompts and what the"
            " adapters are of; copy the whole final_model, or name a run by its own folder"
        ) from None
    except (OSError, ValueError, FedloraError) as error:
        raise FedloraError(f"{file}: damaged ({error}); copy it again") from None
