"""`fedlora run --dry-run`: the resolved plan, counted before anything is trained."""

import json as json_text

import typer
from rich.console import Console

from fedlora import config as configuration
from fedlora.cli.console import watching
from fedlora.cli.output import show
from fedlora.cli.stream_plan import plan_stream
from fedlora.client.client import Client
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
    encoded = client.codec.encode(adapter).numel()
    vector = 4 * len(task_vector(desk.objective, desk.train, config.task_vector))
    members = sum(seat.role == "bank" for seat in client.seats)
    newcomers = len(client.seats) - members
    rounds, chosen = config.warm_start.rounds, config.warm_start.clients_per_round
    asked = min(chosen or members, members)
    warm = rounds * asked + max(rounds - 1, 0) * asked  # the first round sends nothing down
    samples = config.finetune.checkpoints * config.finetune.repeats
    tuned = members * (samples + (1 if rounds else 0))
    grown = 2 * members * config.growth.rounds
    controls = len(config.evaluation.baselines) + (1 if rounds else 0) + (1 if grown else 0)
    candidates = 2 + controls  # generated and shuffled
    offered = config.adoption.policy.build().adapters
    tried = sum(way.policy.build().adapters for way in config.evaluation.adoptions)
    return {
        "bank clients": members,
        "newcomers": newcomers,
        "training examples": sum(examples),
        "training examples of the smallest client": min(examples),
        "base model values": client.slot.base.parameters,
        "adapted layers": len(adapter.spec.layers),
        "trainable values": adapter.spec.size,
        "bytes of one adapter": encoded,
        "bytes of one task vector": vector,
        "bytes of training": encoded * (warm + grown + tuned),
        "bytes of task vectors": vector * (members + newcomers),
        "bytes of adapters for newcomers": encoded * newcomers * offered,
        "bytes of evaluation": encoded * newcomers * (candidates + tried),
    }


def _examples(client: Client, observer: Observer) -> list[int]:
    """How many training examples each client has."""
    observer.phase("data", len(client.seats))
    counts = []
    for seat in client.seats:
        counts.append(client.desk(seat.client).examples)
        observer.advance()
    return counts
