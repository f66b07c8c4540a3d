"""What is trained: rank, scaling, layers."""

from collections.abc import Sequence
from typing import Any, Self

from fedlora.config import CLIP_TARGETS, LoRAFields
from fedlora.section import parse


class LoRAConfig(LoRAFields):
    """The settings of an adapter; DeltaW = lora_alpha / r * up @ down in every adapted layer.

    Args:
        r: rank; lora_alpha: numerator of the scaling.
        lora_dropout: of the adapter's input, in training.
        target_modules: last parts of layers' names, or "auto": found in the model.
        bias: which biases train too: none, all, or those of adapted layers (lora_only).
        save_only_trainable: whether `get_parameters` and saved files hold what trains, or
            everything.

    Raises:
        FedloraError: a setting is unknown or out of range.
    """

    def __init__(
        self,
        *,
        r: int = 16,
        lora_alpha: float = 32,
        lora_dropout: float = 0.1,
        target_modules: str | Sequence[str] = "auto",
        bias: str = "none",
        save_only_trainable: bool = True,
        **unknown: Any,
    ) -> None:
        settings = {
            "r": r,
            "lora_alpha": lora_alpha,
            "lora_dropout": lora_dropout,
            "target_modules": target_modules,
            "bias": bias,
            "save_only_trainable": save_only_trainable,
        }
        super().__init__(**dict(parse(LoRAFields, settings | unknown)))

    @classmethod
    def for_clip_model(cls, r: int = 16, lora_alpha: float | None = None) -> Self:
        """Query, key, value and both layers of the MLP; alpha is 2 r unless it is given.

        The usual sizes are 8 / 16, 16 / 32 and 32 / 64.
        """
        rank = cls(r=r).r
        alpha = 2 * rank if lora_alpha is None else lora_alpha
        return cls(r=rank, lora_alpha=alpha, target_modules=CLIP_TARGETS)

    @classmethod
    def for_classification_head(cls, r: int = 8, lora_alpha: float = 16) -> Self:
        """The layer called `classifier` alone."""
        return cls(r=r, lora_alpha=lora_alpha, target_modules=("classifier",))
