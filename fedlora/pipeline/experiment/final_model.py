"""What an experiment leaves: a generator, and beside it which encoder reads its prompts."""

import json
from pathlib import Path

from fedlora import atomic
from fedlora.backbone.text_encoder import TextEncoder, open_encoder
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.generators.saved import load_generator
from fedlora.pipeline.experiment.settings import EncoderConfig
from fedlora.section import parse

ENCODER = "encoder.json"


class KnownEncoder(EncoderConfig):
    """An encoder and the SHA-256 of its weights."""

    digest: str


def save(folder: Path, generator: Generator, config: EncoderConfig, encoder: TextEncoder) -> None:
    """Write a folder that can be copied anywhere, whole or not at all.

    config: what `encoder` was opened by; a local folder is written down by its absolute path.

    Raises:
        FedloraError: the folder cannot be written.
    """
    local = Path(config.name).expanduser()
    known = KnownEncoder(
        name=str(local.resolve()) if local.is_dir() else config.name,
        max_length=config.max_length,
        digest=encoder.digest,
    )
    with atomic.folder(folder) as draft:
        generator.save(draft)
        (draft / ENCODER).write_text(known.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Generator, TextEncoder]:
    """The generator, and the encoder that it learned to read prompts by.

    Raises:
        FedloraError: a file is missing or damaged, or the encoder there is another one by now.
    """
    generator, file = load_generator(folder), folder / ENCODER
    try:
        known = parse(KnownEncoder, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FedloraError(
            f"{file}: no such file, and only it knows which encoder reads the prompts; copy the"
            " whole final_model, or name a run by its own folder"
        ) from None
    except (OSError, ValueError, FedloraError) as error:
        raise FedloraError(f"{file}: damaged ({error}); copy it again") from None
    encoder = open_encoder(known.name, known.max_length)
    if encoder.digest != known.digest:
        raise FedloraError(
            f"{file}: '{known.name}' is another encoder ({encoder.digest[:12]}) than the generator"
            f" learned from ({known.digest[:12]}); name that one there"
        )
    return generator, encoder
