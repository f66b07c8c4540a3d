"""ICM-LoRA's own generator: a conditional VAE of one-dimensional convolutions."""

from collections.abc import Mapping, Sequence

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.generators.icm_network import IcmNetwork, IcmNetworkConfig
from fedlora.generators.latent import Latent, LatentConfig
from fedlora.generators.learner import Plan
from fedlora.generators.representation import Factors, Representation


class IcmConfig(LatentConfig):
    """The published settings."""

    network: IcmNetworkConfig = IcmNetworkConfig()
    training: Plan = Plan(epochs=2000, learning_rate=2e-4)
    spread: float = Field(
        1.0, ge=0, description="of the prior; 0 takes its mean for one sample, 1 for several"
    )


class Icm(Latent):
    """Flattened factors in and out, z-scored tensor by tensor (arXiv 2501.17635, section 3).

    It departs from the paper's code where that cannot serve an unseen task: one network learns all
    tasks; means and spreads are the bank's, not those of a trained adapter of the target; factors
    are brought into one gauge first; and the condition comes from the base model alone, projected
    on the bank's main directions.
    """

    Config = IcmConfig

    @override
    def represent(self, adapters: Sequence[LoraAdapter]) -> tuple[Representation, Tensor]:
        return Factors.of(adapters, 0)

    @override
    def restore(self, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Representation:
        return Factors.load(spec, tensors)

    @override
    def network(self, points: int, conditions: int) -> IcmNetwork:
        return IcmNetwork(points, conditions, self.config.network)
