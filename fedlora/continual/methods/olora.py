"""O-LoRA: a branch a task, pushed to be orthogonal to those before."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.fresh import fresh_adapter
from fedlora.continual.contract import Method, MethodConfig, Moments, State, Step


class Config(MethodConfig):
    """strength: of the penalty, lambda_1 of the paper."""

    strength: float = Field(0.5, ge=0)


class OLora(Method):
    """Orthogonal subspace learning (Wang et al. 2023, arXiv 2310.14152).

    loss + strength * sum over layers of ||down_old down^T||_F^2, down_old the rows of all earlier
    branches (equations 5 and 6). Deviation: the penalty on the norm of new weights, 0 in most of
    the paper's runs, is left out.
    """

    Config = Config
    trains = "both"

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        return state, fresh_adapter(spec, seeding.derive(step.seed, "start", step.index))

    @override
    def penalty(self, downs: Mapping[str, Tensor], frozen: LoraAdapter) -> Tensor | None:
        overlaps = [
            torch.sum((frozen.down[name].to(down) @ down.T) ** 2) for name, down in downs.items()
        ]
        strength: float = self.config.strength
        return strength * torch.stack(overlaps).sum()
