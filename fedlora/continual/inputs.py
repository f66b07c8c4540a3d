"""Which layers read the same input, so that its statistics are taken and sent once."""

from fedlora.adapter import AdapterSpec

ATTENTION = frozenset(
    f"{letter}{ending}" for letter in "qkv" for ending in ("", "_proj", "_lin")
) | {"query", "key", "value"}
"""Projections that, under one parent, read the hidden states that enter self-attention."""


def input_of(spec: AdapterSpec) -> dict[str, str]:
    """Layer -> the layer that stands for its input: the first of those that read the same.

    Names are compared whole: block 1 is not block 10. In cross-attention, keys and queries come
    from different places, so there every layer stands for itself.
    """
    first: dict[str, str] = {}
    out = {}
    for layer in spec.layers:
        parent, _, leaf = layer.name.rpartition(".")
        shared = leaf in ATTENTION and "cross" not in parent
        out[layer.name] = first.setdefault(parent, layer.name) if shared else layer.name
    return out


def widths(spec: AdapterSpec) -> dict[str, int]:
    """d_in of each layer that stands for an input, in the order of the layers."""
    standing = set(input_of(spec).values())
    return {layer.name: layer.d_in for layer in spec.layers if layer.name in standing}
