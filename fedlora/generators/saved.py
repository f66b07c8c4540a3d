"""A generator read from its folder alone."""

import json
from pathlib import Path

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.contract import Generator
from fedlora.section import parse


def load_generator(folder: Path) -> Generator:
    """A generator whose name its folder alone knows.

    Raises:
        FedloraError: there is none, or a damaged one.
    """
    card = folder / store.CARD
    if not card.is_file():
        raise FedloraError(
            f"{folder}: no generator yet; finish the run, or fedlora generator train"
        )
    try:
        stored = json.loads(card.read_text(encoding="utf-8"))
        kind = registry.find("generators", str(stored["name"]))
        parse(kind.Config, stored["config"])
    except KeyError as error:
        raise FedloraError(f"{card}: damaged (no key {error}); copy it again") from None
    except (OSError, ValueError, TypeError, FedloraError) as error:
        raise FedloraError(f"{card}: damaged ({error}); copy it again") from None
    generator: Generator = kind.load(folder)
    return generator
