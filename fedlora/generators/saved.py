"""A generator read from its folder alone."""

import json
from pathlib import Path

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.contract import Generator


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
        name = str(json.loads(card.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedloraError(f"{card}: damaged ({error}); train the generator again") from None
    generator: Generator = registry.find("generators", name).load(folder)
    return generator
