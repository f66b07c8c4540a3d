"""What an adapter must be before it counts: of the right place, and of a believable size."""

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.product import norm
from fedlora.errors import FedloraError


def check_place(spec: AdapterSpec, expected: AdapterSpec) -> None:
    """Refuse an adapter of another base model, other layers, scaling or head; ranks may differ.

    Raises:
        FedloraError: the line names the first difference.
    """
    if spec.base != expected.base:
        raise FedloraError(
            f"adapter of another base model ({spec.base[:12]}, not {expected.base[:12]}):"
            " load the base model that the others were trained on"
        )
    ours = {layer.name: (layer.d_in, layer.d_out) for layer in expected.layers}
    theirs = {layer.name: (layer.d_in, layer.d_out) for layer in spec.layers}
    if ours != theirs:
        name = min({name for name, _ in ours.items() ^ theirs.items()})
        raise FedloraError(f"adapter of other layers, first '{name}': use the same lora.targets")
    if (spec.alpha, spec.rslora) != (expected.alpha, expected.rslora):
        raise FedloraError(
            f"adapter with alpha={spec.alpha:g} rslora={spec.rslora}, not"
            f" alpha={expected.alpha:g} rslora={expected.rslora}: use the same lora.alpha"
        )
    if spec.head != expected.head:
        raise FedloraError("adapter with another head: use the same labels and the same head")


def screen(adapter: LoraAdapter, spec: AdapterSpec, max_norm: float) -> None:
    """Refuse an adapter that cannot belong among those of `spec`.

    The Frobenius norm of DeltaW over all layers and the head is bounded in product space, where
    no rescaling of the factors can hide it.

    Raises:
        FedloraError: it belongs to another place, or its norm is over the limit.
    """
    check_place(adapter.spec, spec)
    size = norm(adapter)
    # Negated, so that a norm of NaN would be refused as well.
    if not size <= max_norm:
        raise FedloraError(f"adapter of norm {size:.4g}, more than rounds.max_norm={max_norm:g}")
