"""The gradient of each example's own loss, all from one pass over a batch."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from fedlora.finetune.lower_blocks import replay
from fedlora.finetune.objectives import Objective, Rows

Seen = list[tuple[int, Tensor, Tensor]]
"""In a pass, the number of each layer that was met, what came in and what went out."""


class MixedRowsError(Exception):
    """A layer sees something else than one row an example, so that no gradient is one example's."""


def gradients_of_each(
    objective: Objective, trained: Sequence[nn.Parameter], rows: Rows
) -> tuple[Tensor, list[Tensor]]:
    """Losses (n,), and of each trained parameter the gradient (n, ...) of every one of them.

    A layer that maps x_t to up x_t at each position t has the gradient sum_t g_t x_t^T of one
    example's loss, g_t that of the loss to its output (Goodfellow 2015, arXiv 1510.01799). A head's
    are taken one example after another, which costs no pass of the base model.

    trained: the `up` of each layer of the slot, then the head.
    """
    count, layers = len(next(iter(rows.values()))), len(objective.slot.spec.layers)
    head = trained[layers:]
    with replay(objective.slot, rows), _watched(objective) as seen:
        responses = objective.respond(rows)
    if any(len(x) != count for x in (responses, *(x for _, x, _ in seen))):
        raise MixedRowsError
    reached = responses.detach().requires_grad_()
    losses, first = [], []
    for at in range(count):
        one = {name: column[at : at + 1] for name, column in rows.items()}
        losses.append(objective.loss_of(reached[at : at + 1], one, objective.head()))
        first.append(torch.autograd.grad(losses[-1], [reached, *head]))
    back = torch.stack([gradient[at] for at, (gradient, *_) in enumerate(first)])
    found = [torch.zeros(count, *each.shape).to(each) for each in trained]
    for number in range(len(head)):
        found[layers + number] = torch.stack([own[1 + number] for own in first])
    outputs = torch.autograd.grad(responses, [output for *_, output in seen], back)
    for (number, x, _), gradient in zip(seen, outputs, strict=True):
        found[number] += torch.einsum("nto,ntr->nor", _positions(gradient), _positions(x))
    return torch.stack(losses).detach(), found


@contextmanager
def _watched(objective: Objective) -> Iterator[Seen]:
    """What the layers of `up` see as long as the block runs."""
    seen: Seen = []

    def note(number: int, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((number, inputs[0].detach(), output))

    with ExitStack() as hooks:
        for number, layer in enumerate(objective.slot.spec.layers):
            up = objective.slot.base.model.get_submodule(f"{layer.name}.lora_B.default")
            hooks.callback(up.register_forward_hook(partial(note, number)).remove)
        yield seen


def _positions(values: Tensor) -> Tensor:
    """(n, positions, width), whatever lies between the first and the last."""
    return values.reshape(len(values), -1, values.shape[-1])
