"""The plan of a continual run, counted before anything is trained."""

import torch

from fedlora.client.stream.client import StreamClient
from fedlora.config import ContinualConfig, RunConfig
from fedlora.continual.contract import Method
from fedlora.continual.inputs import widths
from fedlora.continual.schedule import schedule
from fedlora.continual.stream import feature_width, size
from fedlora.continual.study import features_of
from fedlora.finetune.objectives.contract import take


def plan_stream(config: RunConfig, continual: ContinualConfig) -> dict[str, int]:
    """Counts of one seed: tasks, steps, trainable values, bytes of statistics.

    Raises:
        FedloraError: the base model or a task cannot be used, or tasks share a class.
    """
    client = StreamClient(config, continual, config.seeds[0])
    tasks, spec = client.holdings.tasks, client.slot.spec
    for task in tasks:
        features_of(task.objective, take(task.train, torch.arange(1)), None)  # or a wrong shape
    clients = config.shards.per_task
    steps = schedule(len(tasks), clients, continual.order, continual.pace, 0)
    method: Method = continual.method.build()
    heads = sum(len(task.classes) for task in tasks) * (feature_width(tasks[0]) + 1)
    values = [width * min(continual.sketch or width, width) for width in widths(spec).values()]
    if continual.sketch is None:
        values = [width * (width + 1) // 2 for width in widths(spec).values()]
    surveys = method.designs + method.remembers
    lifted = feature_width(tasks[0]) + 1
    classes = sum(len(task.classes) for task in tasks) if method.config.align else 0
    moments = 4 * classes * lifted * (lifted + 1) // 2
    return {
        "tasks": len(tasks),
        "steps": len(steps),
        "clients": clients,
        "training examples of all tasks": sum(size(task.train) for task in tasks),
        "base model values": client.slot.base.parameters,
        "adapted layers": len(spec.layers),
        "values of a branch": spec.size,
        "values of all heads": heads,
        "bytes of a client's statistics, all inputs": 4 * sum(values),
        "bytes of statistics at most": clients * (4 * sum(values) * surveys * len(tasks) + moments),
        "rounds": len(steps) * continual.rounds,
    }
