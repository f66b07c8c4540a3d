"""Which linear layers of a model get an adapter, found at run time."""

from collections.abc import Sequence
from typing import Literal

from torch import nn
from transformers.pytorch_utils import Conv1D

from fedlora.errors import FedloraError
from fedlora.registry import nearest

# Query and value projections, as the architectures of transformers name them; a fused
# projection stands for both.
QUERY_VALUE = (
    ("query", "value"),
    ("q_proj", "v_proj"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("query_key_value",),
    ("qkv",),
    ("qkv_proj",),
    ("Wqkv",),
    ("c_attn",),
)


def find_targets(
    model: nn.Module, targets: Literal["auto"] | Sequence[str], layers: Sequence[int] | None
) -> list[str]:
    """Sorted full names of the linear layers to adapt.

    Args:
        model: the base model.
        targets: last components of module names, or "auto" for query and value projections.
        layers: indices of the blocks to adapt, or None for all.

    Raises:
        FedloraError: nothing matches; the message lists what the model has.
    """
    linear = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D))}
    endings = sorted({name.rpartition(".")[2] for name in linear})
    if targets == "auto":
        pairs = (pair for pair in QUERY_VALUE if set(pair) <= set(endings))
        chosen: tuple[str, ...] = next(pairs, ())
        if not chosen:
            raise FedloraError(
                "lora.targets: no query and value projections found;"
                f" name them from {', '.join(endings)}"
            )
    else:
        chosen = tuple(targets)
        for target in chosen:
            if target not in endings:
                raise FedloraError(
                    f"lora.targets: no layer is called '{target}'; {nearest(target, endings)}"
                )
    names = sorted(name for name in linear if name.rpartition(".")[2] in chosen)
    kept = [name for name in names if layers is None or _block(name) in layers]
    if not kept:
        blocks = sorted({block for name in names if (block := _block(name)) is not None})
        raise FedloraError(f"lora.layers: none of {layers} is a block; the model has {blocks}")
    return kept


def _block(name: str) -> int | None:
    """The index of the block a layer lies in: the first number in its name."""
    return next((int(step) for step in name.split(".") if step.isdigit()), None)
