"""What a codec is: an adapter in, bytes out, and back within a stated error."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.section import Section


class Codec(ABC):
    """Turns the values of an adapter into bytes; one file a codec in `wire/codecs/`.

    The spec does not travel with them: both sides know it, and a codec that needs more (scales,
    indices) puts that into the bytes, where it is counted.
    """

    Config: ClassVar[type[Section]]

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def encode(self, adapter: LoraAdapter) -> Tensor:
        """The adapter as (n,) uint8; equal adapters, equal bytes.

        Raises:
            FedloraError: a value cannot be carried (it would overflow).
        """

    @abstractmethod
    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The inverse of `encode` up to `error_bound`, for (n,) uint8 from anybody.

        Raises:
            FedloraError: the data is not of the dtype and length that the spec implies, checked
                before anything is allocated, or holds NaN or infinity.
        """

    @abstractmethod
    def error_bound(self, adapter: LoraAdapter) -> float:
        """The most by which any one value of `adapter` can differ after encode and decode."""
