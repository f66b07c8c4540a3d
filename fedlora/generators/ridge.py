"""A linear map from condition to DeltaW."""

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.generators.linear import best_penalty, left_out_error, ridge_weights
from fedlora.section import Section


class RidgeConfig(Section):
    """What is null is chosen on the bank, by leaving out one task at a time."""

    penalty: float | None = Field(None, gt=0, description="as a share of the mean eigenvalue")


class Ridge(Blend):
    """Ridge regression from standardised task vectors to DeltaW, with a free intercept.

    In its dual form every answer is a combination of the bank's adapters. The penalty, where not
    given, minimises the leave-one-task-out error of DeltaW.
    """

    Config = RidgeConfig
    least_tasks = 2

    @override
    def learn(self, products: Tensor) -> None:
        if not bool(self.known.any()):
            raise FedloraError("all task vectors of the bank are equal: ridge has nothing to go by")
        if penalty := self.config.penalty:
            error = left_out_error(self.known, products, penalty)
        else:
            penalty, error = best_penalty(self.known, products)
        self.facts = {"penalty": penalty, "left_out_error": error}

    @override
    def weigh(self, conditions: Tensor) -> Tensor:
        return ridge_weights(self.known, conditions, self.facts["penalty"])
