"""Adapters in the checkpoints of other projects: PEFT folders, safetensors, PyTorch, Lightning."""

import re
from collections.abc import Mapping
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
_WRAPPERS = re.compile(r"^(?:(?:module|lightning_module|_orig_mod|base_model\.model)\.)+")


def is_checkpoint(path: Path) -> bool:
    """Whether a path looks like an adapter: a PEFT folder, or a file with a known suffix."""
    return (path / peft_folder.CONFIG).is_file() or (path.is_file() and path.suffix in SUFFIXES)


def read_checkpoint(path: Path, alpha: float | None = None) -> LoraAdapter:
    """The adapter in a checkpoint; tensors that are not LoRA's are passed over in a file.

    PyTorch's files are read with weights_only=True, which runs no code of theirs.

    Args:
        path: a PEFT folder; or a .safetensors, .ckpt, .pt, .pth or .bin file.
        alpha: of a file, which does not say it; its rank when absent, so that scaling is 1.

    Raises:
        FedloraError: the file is damaged or needs code to be read, holds no LoRA tensors, or
            layers of several ranks.
    """
    if path.is_dir():
        return peft_folder.load(path, _base_of(path))
    if not path.is_file():
        raise FedloraError(f"'{path}': no such checkpoint; check the path")
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    found = lora_tensors(state)
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
        return peft_folder.assemble(found, config, UNKNOWN)
    except FedloraError as error:
        raise FedloraError(f"'{path}': {error}") from None


def lora_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The LoRA tensors of a state, under PEFT's names."""
    found = {}
    for name, value in state.items():
        match = _NAME.match(_WRAPPERS.sub("", name))
        if match and isinstance(value, Tensor):
            end = peft_folder.DOWN if match["side"] in "Aa" else peft_folder.UP
            layer = match["layer"].removesuffix(".parametrizations.weight.0")
            found[f"{peft_folder.PREFIX}{layer}{end}"] = value
    return found


def _safetensors(path: Path) -> dict[str, Tensor]:
    data = foreign.read_bytes(path)
    try:
        return frame.unpack(data, limit=len(data))[0]
    except FedloraError as error:
        raise FedloraError(f"'{path}': {error}; copy it again") from None


def _pickled(path: Path) -> Mapping[str, Any]:
    held = read_torch(path)
    for key in ("state_dict", "model", "module"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not isinstance(held, dict):
        raise FedloraError(f"'{path}': holds a {type(held).__name__}, not tensors by name")
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
