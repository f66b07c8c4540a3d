"""The folder of a fitted generator: model.safetensors beside generator.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlora import atomic
from fedlora.adapter import AdapterSpec
from fedlora.errors import FedloraError

MODEL, CARD = "model.safetensors", "generator.json"


@dataclass(frozen=True)
class Stored:
    """A generator on disk.

    name: the generator's name in the registry.
    config: the options it was made with.
    spec: the spec of the adapters it emits.
    facts: what its fit found out, for readers and for `load`.
    tensors: everything else.
    """

    name: str
    config: Mapping[str, Any]
    spec: AdapterSpec
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def incomplete(folder: Path, error: Exception) -> FedloraError:
    """The one line for a generator whose tensors are not all there, or of other shapes."""
    line = " ".join(str(error).split())
    return FedloraError(f"{folder / MODEL}: incomplete ({line}); fit again")


def write(folder: Path, stored: Stored) -> None:
    """Write both files, the folder whole or not at all.

    Raises:
        FedloraError: the disk is full or the folder cannot be written to.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in stored.tensors.items()}
    size = sum(tensor.nbytes for tensor in tensors.values())
    card = {
        "name": stored.name,
        "config": dict(stored.config),
        "spec": json.loads(stored.spec.to_json()),
        "facts": dict(stored.facts),
        "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()},
        "bytes": {"generator": size, "adapter": 4 * stored.spec.size},
    }
    with atomic.folder(folder) as part:
        save_file(tensors, part / MODEL)
        (part / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def read(folder: Path, name: str) -> Stored:
    """The inverse of `write`.

    Raises:
        FedloraError: a file is missing or damaged, or the generator there is not `name`.
    """
    card_path, model = folder / CARD, folder / MODEL
    try:
        card = json.loads(card_path.read_text())
        found, shapes = card["name"], card["shapes"]
        spec = AdapterSpec.from_json(json.dumps(card["spec"]))
        stored = Stored(name, card["config"], spec, card["facts"], load_file(model))
    except FileNotFoundError as error:
        raise FedloraError(f"{error.filename or folder}: no such file; fit the generator") from None
    except SafetensorError as error:
        raise FedloraError(f"{model}: damaged ({error}); copy it again, or fit it again") from None
    except KeyError as error:
        raise FedloraError(f"{card_path}: no key {error}; copy it again, or fit it again") from None
    except (ValueError, TypeError, OSError, FedloraError) as error:
        raise FedloraError(
            f"{card_path}: damaged ({error}); copy it again, or fit it again"
        ) from None
    if found != name:
        raise FedloraError(f"{card_path}: a '{found}' generator, not a '{name}'")
    if {key: list(tensor.shape) for key, tensor in stored.tensors.items()} != shapes:
        raise FedloraError(f"{model}: not the tensors that {CARD} lists; copy both again")
    return stored


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several parts of a generator under one name each, PART/NAME."""
    return {f"{part}/{key}": tensor for part, held in parts.items() for key, tensor in held.items()}


def parts(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The inverse of `join`."""
    out: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition("/")
        out.setdefault(part, {})[key] = tensor
    return out
