"""LoRA for an existing federated model: wrap it, and only the adapter trains and travels.

A thin layer over PEFT. Any torch module with `get_parameters`, `set_parameters`, `train_step` and
`evaluate` can be wrapped; for CLIP there are ready parts.
"""

from fedlora.lora.clip_model import FederatedCLIPModel
from fedlora.lora.clip_wrapper import CLIPLoRAWrapper, quick_clip_lora
from fedlora.lora.config import LoRAConfig
from fedlora.lora.create import create_model
from fedlora.lora.store import LoRAConfigManager, LoRAModelManager
from fedlora.lora.wrapper import LoRAWrapper

__all__ = [
    "CLIPLoRAWrapper",
    "FederatedCLIPModel",
    "LoRAConfig",
    "LoRAConfigManager",
    "LoRAModelManager",
    "LoRAWrapper",
    "create_model",
    "quick_clip_lora",
]
