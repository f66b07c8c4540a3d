"""Adapters as points that a network can learn: one representation a file."""

from fedlora.generators.representation.contract import Representation
from fedlora.generators.representation.delta_pca import DeltaPca
from fedlora.generators.representation.factors import Factors

REPRESENTATIONS: dict[str, type[Representation]] = {"delta_pca": DeltaPca, "factors": Factors}

__all__ = ["REPRESENTATIONS", "DeltaPca", "Factors", "Representation"]
