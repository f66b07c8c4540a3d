"""InfLoRA: write where the new task is strong and the old tasks are not."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.continual.contract import Method, MethodConfig, Moments, State, Step, with_downs
from fedlora.continual.design import Exhausted, design_down
from fedlora.continual.inputs import widths
from fedlora.continual.memory import Energy, Memory

Share = Annotated[float, Field(gt=0, le=1)]


class Config(MethodConfig):
    """How much of an old task's space is protected.

    threshold_first, threshold_last: share of the energy at the first step, and the share that
        later steps rise towards: eps_t = first + (last - first) t / T for step t of T, from 0.
    energy: of the features, as the paper says, or of their covariance, as its code computes.
    exhausted: what becomes of a branch where old tasks leave fewer directions than its rank: an
        error that names task and layer, or rows of zero.
    """

    threshold_first: Share = 0.95
    threshold_last: Share = 1.0
    energy: Energy = "covariance"
    exhausted: Exhausted = "error"


class InfLora(Method):
    """Interference-free low-rank adaptation (Liang and Li 2024, arXiv 2404.00228).

    `down` is designed and fixed, `up` is trained, the trained branch joins the frozen weights,
    and DualGPM remembers the task's inputs. Deviations: the scaling is the adapter's alpha / r,
    which alpha = r makes the paper's 1; the learning rate falls linearly; gradients are clipped.
    """

    Config = Config
    designs = True
    remembers = True

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        rank = spec.layers[0].rank
        downs = {
            name: design_down(
                moments[name].mean,
                state.memories.get(name, Memory.empty(width)),
                rank,
                f"{step.what}, layer {name}",
                self.config.exhausted,
            )
            for name, width in widths(spec).items()
        }
        return state, with_downs(spec, downs)

    @override
    def end(self, state: State, branch: LoraAdapter, step: Step, moments: Moments) -> State:
        grown = grow(state, branch.spec, self.config, step, moments)
        return replace(grown, branches=(*state.branches, branch))


def threshold(config: Config, step: Step) -> float:
    """eps_t of a step."""
    first, last = config.threshold_first, config.threshold_last
    return float(first + (last - first) * step.index / step.steps)


def grow(state: State, spec: AdapterSpec, config: Config, step: Step, moments: Moments) -> State:
    """The state that remembers a step's inputs too."""
    eps = threshold(config, step)
    memories = {
        name: state.memories.get(name, Memory.empty(width)).grow(
            moments[name].mean, eps, config.energy
        )
        for name, width in widths(spec).items()
    }
    return replace(state, memories=memories)
