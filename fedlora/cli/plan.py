"""`fedlora run --dry-run`: the resolved plan, counted before anything is trained."""

import json as json_text

import typer
from rich.console import Console

from fedlora import config as configuration
from fedlora.cli.bytes_plan import BytesPlan
from fedlora.cli.console import watching
from fedlora.cli.output import show
from fedlora.cli.stream_plan import plan_stream
from fedlora.client.client import Client
from fedlora.client.protecting import protection_of
from fedlora.config import RunConfig
from fedlora.finetune.local import fresh
from fedlora.finetune.task_vector import task_vector
from fedlora.server.observer import Observer


def show_plan(config: RunConfig, as_json: bool) -> None:
    """Print the resolved configuration, trainable parameters and predicted bytes.

    Raises:
        FedloraError: the base model, a client's data, or a part cannot be used.
    """
    with watching() as observer:
        plan = make_plan(config, observer)
    if as_json:
        document = {"config": config.model_dump(mode="json"), "plan": plan}
        typer.echo(json_text.dumps(document, indent=1))
        return
    Console().print(configuration.dump(config), highlight=False, markup=False)
    show([{"what": key, "count": f"{value:,}"} for key, value in plan.items()], False)


def make_plan(config: RunConfig, observer: Observer) -> dict[str, int]:
    """Counts of one seed: clients, trainable values, and predicted payload bytes by purpose.

    Every client's data is opened as it will be in the run.
    """
    if config.continual is not None:
        return plan_stream(config, config.continual)
    client = Client(config, config.seeds[0])
    examples = _examples(client, observer)
    desk = client.desk(0)
    adapter = fresh(desk.objective, 0)
    vector = 4 * len(task_vector(desk.objective, desk.train, config.task_vector))
    ranks = [seat.rank for seat in client.seats if seat.role == "bank"]
    newcomers = len(client.seats) - len(ranks)
    sent = BytesPlan(config, ranks, newcomers, adapter.spec)
    return {
        "bank clients": len(ranks),
        "newcomers": newcomers,
        "training examples": sum(examples),
        "training examples of the smallest client": min(examples),
        "base model values": client.slot.base.parameters,
        "adapted layers": len(adapter.spec.layers),
        "trainable values": adapter.spec.size,
        "bytes of one adapter": sent.down(),
        "bytes of one adapter in an answer": sent.up(),
        "bytes of one task vector": vector,
        "bytes of training": sent.training(),
        "bytes of task vectors": vector * len(client.seats),
        "bytes of adapters for newcomers": sent.serving(),
        "bytes of evaluation": sent.evaluation(),
    }


def _examples(client: Client, observer: Observer) -> list[int]:
    """How many training examples each client has."""
    observer.phase("data", len(client.seats))
    counts = []
    for seat in client.seats:
        counts.append(client.desk(seat.client).examples)
        protection_of(client.config, counts[-1])  # a budget may be too small for its examples
        observer.advance()
    return counts
