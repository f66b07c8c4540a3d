"""The shape of an adapter: which layers of which base model, at what rank and scaling."""

import json
import math
from dataclasses import asdict, dataclass, replace

from fedlora import frame
from fedlora.errors import FedloraError


@dataclass(frozen=True, order=True)
class LayerSpec:
    """One adapted linear layer; `name` is its path in the base model."""

    name: str
    d_in: int
    d_out: int
    rank: int

    @property
    def size(self) -> int:
        """Values in `down` (rank, d_in) and `up` (d_out, rank) together."""
        return self.rank * (self.d_in + self.d_out)


@dataclass(frozen=True)
class AdapterSpec:
    """All that two sides must agree on before an adapter can travel as bare numbers.

    base: digest of the frozen base model the adapter belongs to.
    layers: sorted by name.
    alpha: the LoRA alpha; a layer's scaling is alpha / rank, or alpha / sqrt(rank) with rslora
        (Kalajdzievski 2023, arXiv 2312.03732).
    head: name and shape of each tensor of a trainable head, empty without one.
    """

    base: str
    layers: tuple[LayerSpec, ...]
    alpha: float
    rslora: bool = False
    head: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise FedloraError("an adapter needs at least one layer")
        if list(self.layers) != sorted(self.layers):
            raise FedloraError("the layers of an adapter are listed in the order of their names")
        for layer in self.layers:
            if not 1 <= layer.rank <= min(layer.d_in, layer.d_out):
                raise FedloraError(
                    f"lora.rank={layer.rank} does not fit layer '{layer.name}' of"
                    f" {layer.d_out} x {layer.d_in}: choose 1 to {min(layer.d_in, layer.d_out)}"
                )

    @property
    def size(self) -> int:
        """Trainable values, those of the head included."""
        return sum(layer.size for layer in self.layers) + self.head_size

    @property
    def head_size(self) -> int:
        """Trainable values of the head."""
        return sum(math.prod(shape) for _, shape in self.head)

    def scaling(self, layer: LayerSpec) -> float:
        """The factor of up @ down in DeltaW."""
        return self.alpha / (math.sqrt(layer.rank) if self.rslora else layer.rank)

    def with_rank(self, rank: int) -> "AdapterSpec":
        """The same layers, each at `rank`."""
        return replace(self, layers=tuple(replace(layer, rank=rank) for layer in self.layers))

    def to_json(self) -> str:
        """One line of JSON, the same for equal specs."""
        # An alpha given as 16 is the alpha 16.0.
        return json.dumps(asdict(self) | {"alpha": float(self.alpha)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "AdapterSpec":
        """The inverse of `to_json`.

        Raises:
            FedloraError: the text is not a spec.
        """
        try:
            raw = frame.read_json(text)
            return cls(
                base=str(raw["base"]),
                layers=tuple(
                    LayerSpec(str(x["name"]), int(x["d_in"]), int(x["d_out"]), int(x["rank"]))
                    for x in raw["layers"]
                ),
                alpha=float(raw["alpha"]),
                rslora=bool(raw["rslora"]),
                head=tuple((str(n), tuple(int(s) for s in shape)) for n, shape in raw["head"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise FedloraError(f"not an adapter spec: {error!r}") from None
