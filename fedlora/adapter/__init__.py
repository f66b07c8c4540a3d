"""LoRA adapters: their shape, their values, their geometry, and their files."""

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec, LayerSpec

__all__ = ["AdapterSpec", "LayerSpec", "LoraAdapter"]
