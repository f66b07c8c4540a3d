"""Adapters in the checkpoints of other projects: PEFT folders, safetensors, PyTorch, Lightning."""

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fedlora import foreign, frame
from fedlora.adapter import peft_config, peft_folder
from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.torch_file import check_tensor, read_torch
from fedlora.errors import FedloraError

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
UNKNOWN = "unknown"
"""The base model of an adapter whose files do not say."""

# As PEFT, loralib and hand-written modules name them: NAME.lora_A.default.weight, NAME.lora_A.
_NAME = re.compile(r"^(?P<layer>.+?)\.lora_(?P<side>[ABab])(?:\.(?!lora_)\w+)*$")
# Whatever held a PEFT model stands before PEFT's own prefix; the base model's names come after it.
_WRAPPERS = re.compile(r"^(?:(?:.*?\.)?base_model\.model\.|(?:(?:module|lightning_module)\.)+)")
_COMPILED = "_orig_mod."
_PERHAPS_A_WRAPPER = re.compile(r"(?:model|net|network|backbone)\.")


def is_checkpoint(path: Path) -> bool:
    """Whether a path looks like an adapter: a PEFT folder, or a file with a known suffix."""
    return (path / peft_folder.CONFIG).is_file() or (path.is_file() and path.suffix in SUFFIXES)


def weights_file(path: Path) -> Path:
    """The file that holds a checkpoint's tensors."""
    return path / peft_folder.WEIGHTS if path.is_dir() else path


def read_checkpoint(path: Path, alpha: float | None = None) -> LoraAdapter:
    """The adapter in a checkpoint; tensors that are not LoRA's are passed over in a file.

    PyTorch's files are read with weights_only=True, which runs no code of theirs. A UserWarning
    says where the layers' names begin with what may be no part of the base model.

    Args:
        path: a PEFT folder; or a .safetensors, .ckpt, .pt, .pth or .bin file.
        alpha: of a file, which does not say it; its rank when absent, so that scaling is 1.

    Raises:
        FedloraError: the file is damaged or needs code to be read, holds no LoRA tensors,
            those of several adapters, or layers of several ranks.
    """
    if path.is_dir():
        return peft_folder.load(path, _base_of(path))
    if not path.is_file():
        raise FedloraError(f"'{path}': no such checkpoint; check the path")
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    found = lora_tensors(path, state)
    if not found:
        raise FedloraError(
            f"'{path}': holds no LoRA tensors among {len(state)}; save the adapter, with names that"
            " end in lora_A and lora_B"
        )
    for name, tensor in found.items():
        check_tensor(path, name, tensor)
    ranks = {len(t) for name, t in found.items() if name.endswith(peft_folder.DOWN) and t.ndim == 2}
    if len(ranks) > 1:
        raise FedloraError(f"'{path}': layers of ranks {sorted(ranks)}; give all layers one rank")
    config = {"lora_alpha": alpha or float(max(ranks, default=1)), "use_rslora": False}
    try:
        adapter = peft_folder.assemble(found, config, UNKNOWN)
    except FedloraError as error:
        raise FedloraError(f"'{path}': {error}") from None
    _warn_of_wrapper(state, adapter.down)
    return adapter


def lora_tensors(path: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The LoRA tensors of a state, under PEFT's names.

    Raises:
        FedloraError: two tensors would have one name, as those of two adapters do.
    """
    found: dict[str, Tensor] = {}
    named: dict[str, str] = {}
    for name, value in state.items():
        match = _NAME.match(_unwrapped(name))
        if match and isinstance(value, Tensor):
            end = peft_folder.DOWN if match["side"] in "Aa" else peft_folder.UP
            layer = match["layer"].removesuffix(".parametrizations.weight.0")
            own = f"{peft_folder.PREFIX}{layer}{end}"
            if (other := named.setdefault(own, name)) != name:
                raise FedloraError(
                    f"'{path}': {other!a:.80} and {name!a:.80} are of two adapters; save one alone"
                )
            found[own] = value
    return found


def _unwrapped(name: str) -> str:
    """A tensor's name in the base model."""
    return _WRAPPERS.sub("", name.replace(_COMPILED, ""))


def _warn_of_wrapper(names: Iterable[str], layers: Iterable[str]) -> None:
    """Say where all layers begin with what may be the base model's own, as in Llama, or not.

    names: in the file; PEFT's own prefix in one of them says what is the base model's.
    """
    first = {match[0] if (match := _PERHAPS_A_WRAPPER.match(name)) else "" for name in layers}
    if len(first) == 1 and any(first) and not any(peft_folder.PREFIX in name for name in names):
        warnings.warn(
            f"all LoRA layers of a file begin with '{first.pop()}'; if the base model has no such"
            " part, PEFT will not find them: save the adapter by PEFT's save_pretrained",
            stacklevel=1,
        )


def _safetensors(path: Path) -> dict[str, Tensor]:
    data = foreign.read_bytes(path)
    try:
        return frame.unpack(data, limit=len(data))[0]
    except FedloraError as error:
        raise FedloraError(f"'{path}': {error}; copy it again, or save it as float32") from None


def _pickled(path: Path) -> Mapping[str, Any]:
    held = read_torch(path)
    for key in ("state_dict", "model", "module"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict):
        raise FedloraError(
            f"'{path}': holds a {type(held).__name__}, not tensors by name; save a state_dict"
        )
    return {str(name): value for name, value in held.items()}


def _base_of(folder: Path) -> str:
    """The base model's digest that fedlora wrote down, or else its name in PEFT's config."""
    sidecar = folder / peft_folder.SIDECAR
    if sidecar.is_file():
        try:
            return str(frame.read_json(foreign.read_text(sidecar))["spec"]["base"])
        except (FedloraError, KeyError, TypeError, UnicodeDecodeError):
            pass  # load says what is wrong with it
    config = peft_config.read(folder / peft_folder.CONFIG)
    return str(config.get("base_model_name_or_path") or UNKNOWN)
