"""What methods add to a gradient is the gradient of the term that their papers write down."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fedlora.adapter import LoraAdapter
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import TrainSection
from fedlora.finetune.guide import Guide, steer
from fedlora.finetune.local import fresh, mean_gradient, put, train
from tests.adapters import random_adapter
from tests.conftest import small_config

PULL, SHARE, WEIGHT = 0.7, 0.5, 0.3
"""Mu of FedProx; of HetLoRA, the share of ranks left alone and the weight on the others."""


@pytest.fixture(scope="module")
def desk() -> Desk:
    torch.set_num_threads(1)
    lora = {"rank": 4, "alpha": 8, "head": True}
    return Client(small_config(lora=lora, tasks={"splits": {"train": 10}}), 0).desk(3)


def point(desk: Desk, seed: int, rank: int = 4) -> LoraAdapter:
    """Any adapter of the task, beside any head."""
    return random_adapter(fresh(desk.objective, 0, rank).spec, seed, 0.1)


def named(desk: Desk) -> dict[str, nn.Parameter]:
    """The trained tensors under the names of `LoraAdapter.tensors`."""
    head = {f"head.{name}": tensor for name, tensor in desk.objective.head().items()}
    return desk.objective.slot.by_name() | head


def own_part(tensor: Tensor, like: Tensor) -> Tensor:
    """Without the ranks that fill up a smaller adapter."""
    return tensor[tuple(slice(0, size) for size in like.shape)]


def proximal(parameters: dict[str, nn.Parameter], start: LoraAdapter) -> Tensor:
    """mu / 2 |w - start|^2."""
    apart = [
        (own_part(parameters[name], first) - first).square().sum()
        for name, first in start.tensors().items()
    ]
    return PULL / 2 * torch.stack(apart).sum()


def along(parameters: dict[str, nn.Parameter], correction: LoraAdapter) -> Tensor:
    """<w, c - c_i>, whose gradient is c - c_i."""
    parts = [
        (own_part(parameters[name], values) * values).sum()
        for name, values in correction.tensors().items()
    ]
    return torch.stack(parts).sum()


def fading(parameters: dict[str, nn.Parameter], start: LoraAdapter) -> Tensor:
    """lambda sum |up_last| |down_last|, over the last half of the ranks."""
    total = torch.zeros(())
    for layer in start.spec.layers:
        last = slice(layer.rank // 2, layer.rank)
        up, down = parameters[f"{layer.name}.up"], parameters[f"{layer.name}.down"]
        total = total + up[:, last].norm() * down[last].norm()
    return WEIGHT * total


def case(desk: Desk, name: str, start: LoraAdapter) -> tuple[Guide, LoraAdapter]:
    """A guide, and the adapter that its term is about."""
    if name == "scaffold":
        correction = random_adapter(start.spec, 5, 0.02)
        return Guide(correction=correction), correction
    return (Guide(pull=PULL) if name == "fedprox" else Guide(fades=(SHARE, WEIGHT))), start


TERMS = {"fedprox": proximal, "scaffold": along, "hetlora": fading}
every_term = pytest.mark.parametrize("name", TERMS)


@every_term
@pytest.mark.parametrize("rank", [4, 3])
def test_a_guided_gradient_is_that_of_the_loss_and_the_methods_term(desk, name, rank):
    start = point(desk, 1, rank)
    guide, about = case(desk, name, start)
    put(desk.objective, point(desk, 2, rank))
    parameters = named(desk)
    values = list(parameters.values())
    expected = torch.autograd.grad(
        desk.objective.loss(desk.train) + TERMS[name](parameters, about), values
    )
    for parameter in values:
        parameter.grad = None
    desk.objective.loss(desk.train).backward()
    plain = [parameter.grad.clone() for parameter in values]
    steer(guide, desk.objective, start)

    for parameter, whole in zip(values, expected, strict=True):
        assert torch.allclose(parameter.grad, whole, rtol=1e-4, atol=1e-6)
    # A term that is lost in rounding would prove nothing.
    moved = [float((p.grad - before).abs().max()) for p, before in zip(values, plain, strict=True)]
    assert max(moved) > 1e-2


def test_ranks_that_are_zero_fade_no_further(desk):
    start = fresh(desk.objective, 0)
    put(desk.objective, start)
    for parameter in named(desk).values():
        parameter.grad = None
    desk.objective.loss(desk.train).backward()
    before = {name: parameter.grad.clone() for name, parameter in named(desk).items()}
    steer(Guide(fades=(SHARE, WEIGHT)), desk.objective, start)

    assert all(torch.equal(p.grad, before[name]) for name, p in named(desk).items())


def test_a_factor_that_rests_has_no_gradient_and_the_head_keeps_its_own(desk):
    start = point(desk, 1)
    put(desk.objective, start)
    desk.objective.loss(desk.train).backward()
    steer(Guide(trains=("up",), pull=PULL), desk.objective, start)
    moving = {name for name, parameter in named(desk).items() if parameter.grad is not None}

    assert moving == {name for name in start.tensors() if not name.endswith(".down")}


@every_term
def test_training_with_a_guide_is_training_with_its_term_in_the_loss(desk, name):
    # Steps so large and many that a term with another sign leads elsewhere.
    settings = TrainSection(epochs=3, batch_size=5, learning_rate=1e-2)
    start = point(desk, 1)
    guide, about = case(desk, name, start)

    def trained(guide: Guide | None, penalty: object = None) -> Tensor:
        done = train(
            desk.objective, start, desk.train, None, settings, 7, guide=guide, penalty=penalty
        )
        return done.adapters[-1].flatten()

    guided = trained(guide)
    term = trained(None, lambda: TERMS[name](named(desk), about))
    plain = trained(None)

    assert (guided - term).norm() < 1e-2 * (guided - plain).norm()


@pytest.mark.parametrize("rank", [4, 3])
def test_a_clients_gradient_is_that_of_the_dense_weights_through_both_factors(desk, rank):
    """With G the gradient of W + DeltaW: scaling up^T G for down, scaling G down^T for up."""
    at, fold = point(desk, 1, rank), point(desk, 2)
    found = mean_gradient(desk.objective, at, desk.train, 4, fold)
    base = desk.objective.slot.base.model
    dense = {x.name: base.get_parameter(f"{x.name}.base_layer.weight") for x in at.spec.layers}
    saved = {name: weight.detach().clone() for name, weight in dense.items()}
    put(desk.objective, replace(at, up={name: torch.zeros_like(up) for name, up in at.up.items()}))
    heads = list(desk.objective.head().values())
    try:
        for name, weight in dense.items():
            weight.data += at.delta(name) + fold.delta(name)
            weight.requires_grad_(True)
        loss = desk.objective.loss(desk.train)
        gradients = torch.autograd.grad(loss, [*dense.values(), *heads])
    finally:
        for name, weight in dense.items():
            weight.requires_grad_(False).data.copy_(saved[name])

    for layer, gradient in zip(at.spec.layers, gradients, strict=False):
        scaling = at.spec.scaling(layer)
        of_down = scaling * at.up[layer.name].T @ gradient
        of_up = scaling * gradient @ at.down[layer.name].T
        assert torch.allclose(found.down[layer.name], of_down, rtol=1e-3, atol=1e-6)
        assert torch.allclose(found.up[layer.name], of_up, rtol=1e-3, atol=1e-6)
    for (name, _), gradient in zip(at.spec.head, gradients[len(dense) :], strict=True):
        assert torch.allclose(found.head[name], gradient, rtol=1e-3, atol=1e-6)
