"""What is trained: rank, scaling, layers."""

from typing import Any, Literal, Self

from pydantic import Field

from fedlora.section import Section, parse

CLIP_TARGETS = ("q_proj", "k_proj", "v_proj", "fc1", "fc2")


class LoRAFields(Section):
    """The settings of an adapter, as a section of YAML has them."""

    r: int = Field(16, ge=1)
    lora_alpha: float = Field(32, gt=0)
    lora_dropout: float = Field(0.1, ge=0, lt=1)
    target_modules: Literal["auto"] | tuple[str, ...] = "auto"
    bias: Literal["none", "all", "lora_only"] = "none"
    save_only_trainable: bool = True


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

    def __init__(self, **settings: Any) -> None:
        super().__init__(**dict(parse(LoRAFields, settings)))

    @classmethod
    def for_clip_model(cls, r: int = 16, lora_alpha: float | None = None) -> Self:
        """Query, key, value and both layers of the MLP; alpha is 2 r unless it is given.

        The usual sizes are 8 / 16, 16 / 32 and 32 / 64.
        """
        alpha = 2 * r if lora_alpha is None else lora_alpha
        return cls(r=r, lora_alpha=alpha, target_modules=CLIP_TARGETS)

    @classmethod
    def for_classification_head(cls, r: int = 8, lora_alpha: float = 16) -> Self:
        """The layer called `classifier` alone."""
        return cls(r=r, lora_alpha=lora_alpha, target_modules=("classifier",))
