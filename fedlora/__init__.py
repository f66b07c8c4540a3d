"""Federated learning of LoRA adapters: clients send adapters, newcomers receive one.

The public names are loaded when they are first used, so that the command line need not wait for
torch to print its help.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fedlora.errors import FedloraError

if TYPE_CHECKING:
    from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
    from fedlora.bank import Bank
    from fedlora.config import RunConfig, load
    from fedlora.run_folder import create, resume
    from fedlora.runtime.run import run

__all__ = [
    "AdapterSpec",
    "Bank",
    "FedloraError",
    "LayerSpec",
    "LoraAdapter",
    "RunConfig",
    "create",
    "load",
    "resume",
    "run",
]
__version__ = "0.1.0"

_HOMES = {
    "AdapterSpec": "fedlora.adapter",
    "LayerSpec": "fedlora.adapter",
    "LoraAdapter": "fedlora.adapter",
    "RunConfig": "fedlora.config",
    "load": "fedlora.config",
    "create": "fedlora.run_folder",
    "resume": "fedlora.run_folder",
    "run": "fedlora.runtime.run",
    "Bank": "fedlora.bank",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlora' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
