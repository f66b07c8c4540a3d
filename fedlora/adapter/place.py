"""Whether two adapters belong to the same place: base model, layers, scaling and head."""

from fedlora.adapter.spec import AdapterSpec
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
        raise FedloraError(
            f"adapter of other layers, first '{name}': train all with the same targets"
        )
    if (spec.alpha, spec.rslora) != (expected.alpha, expected.rslora):
        raise FedloraError(
            f"adapter with alpha={spec.alpha:g} rslora={spec.rslora}, not"
            f" alpha={expected.alpha:g} rslora={expected.rslora}: use the same lora.alpha"
        )
    if spec.head != expected.head:
        raise FedloraError("adapter with another head: use the same labels and the same head")
