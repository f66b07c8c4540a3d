"""A conditional VAE from task vectors to adapters."""

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.generators.cvae_network import CvaeNetwork, NetworkConfig
from fedlora.generators.latent import Latent, LatentConfig
from fedlora.generators.representation import REPRESENTATIONS, Representation


class CvaeConfig(LatentConfig):
    """Defaults measured on banks of 48 image domains."""

    representation: Literal["delta_pca", "factors"] = "delta_pca"
    components: int = Field(32, ge=1, description="principal components of DeltaW")
    network: NetworkConfig = NetworkConfig()

    @model_validator(mode="after")
    def _weigh_products_of_factors(self) -> Self:
        if self.representation == "delta_pca" and self.network.product_weight:
            raise ValueError(
                "network.product_weight: points of delta_pca are DeltaW already, and so is their"
                " loss; leave it out, or set representation: factors"
            )
        return self


class Cvae(Latent):
    """A conditional VAE of perceptrons over points of a representation.

    After ICM-LoRA (arXiv 2501.17635), but one network for all tasks, conditioned on task vectors
    of the base model, and over main components of DeltaW in place of raw, flattened factors.
    """

    Config = CvaeConfig

    @override
    def represent(self, adapters: Sequence[LoraAdapter]) -> tuple[Representation, Tensor]:
        return REPRESENTATIONS[self.config.representation].of(adapters, self.config.components)

    @override
    def restore(self, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Representation:
        return REPRESENTATIONS[self.config.representation].load(spec, tensors)

    @override
    def network(self, points: int, conditions: int) -> CvaeNetwork:
        return CvaeNetwork(points, conditions, self.config.network)
