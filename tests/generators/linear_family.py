"""A family of tasks whose adapters are known: DeltaW is linear in two hidden factors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.generators.contract import TrainingBank
from tests.adapters import regauged

SPEC = AdapterSpec(
    base="base",
    layers=(LayerSpec("block.0.query", 16, 16, 4), LayerSpec("block.0.value", 16, 12, 4)),
    alpha=8.0,
    head=(("head.bias", (3,)),),
)
FEATURES = 10


@dataclass(frozen=True)
class Family:
    """A bank, the conditions of tasks that are not in it, and their true adapters."""

    bank: TrainingBank
    held_out: Tensor
    truth: list[LoraAdapter]


def linear_family(
    tasks: int = 24,
    held_out: int = 8,
    samples: int = 2,
    seed: int = 0,
    gauge: int = 1,
    noise: float = 0.02,
) -> Family:
    """up = up_0 + a up_1 + b up_2 with one `down`, each sample in a gauge of its own.

    The condition is a noisy linear picture of (a, b) in 10 features; samples of a task differ by
    `noise` in their factors and see conditions of their own. Another `gauge` changes nothing but
    the factors in which the same updates are written.
    """
    generator = torch.Generator().manual_seed(seed)
    gauges = torch.Generator().manual_seed(gauge)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    factors = torch.rand(tasks + held_out, 2, generator=generator) * 2 - 1
    parts = [LoraAdapter.from_flat(SPEC, normal(SPEC.size)) for _ in range(3)]
    picture = normal(2, FEATURES)

    def truth(a: float, b: float) -> LoraAdapter:
        def mix(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
            return one + a * two + b * three

        ups = {name: mix(*(part.up[name] for part in parts)) for name in parts[0].up}
        head = {name: mix(*(part.head[name] for part in parts)) for name in parts[0].head}
        return LoraAdapter(SPEC, parts[0].down, ups, head)

    def seen(row: Tensor) -> Tensor:
        return row @ picture + 0.02 * normal(FEATURES)

    adapters, conditions, names = [], [], []
    for task in range(tasks):
        for _ in range(samples):
            clean = truth(*factors[task].tolist())
            flat = clean.flatten()
            noisy = LoraAdapter.from_flat(SPEC, flat + noise * normal(SPEC.size))
            adapters.append(regauged(noisy, gauges))
            conditions.append(seen(factors[task]))
            names.append(f"task-{task:02d}")
    return Family(
        bank=TrainingBank(adapters, torch.stack(conditions), names),
        held_out=torch.stack([seen(row) for row in factors[tasks:]]),
        truth=[truth(*row.tolist()) for row in factors[tasks:]],
    )
