"""`fedlora evaluate`: what an adapter is worth on a task."""

import math
from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import AsJson, DataOption, LabelOption, Place, TaskOption, TextOption
from fedlora.cli.output import show


def evaluate(
    place: Place,
    adapter: Annotated[list[Path], typer.Option(help="A PEFT folder; may be given several times.")],
    task: TaskOption = None,
    data: DataOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    json: AsJson = False,
) -> None:
    """Score adapters beside the base model, on a task's test split or on your own data.

    Example: fedlora evaluate RUN_DIR --adapter my_adapter --task rotation=0,contrast=0.7
    """
    from fedlora.adapter import peft_folder
    from fedlora.backbone.named_base import check_named_base
    from fedlora.cli.place import settings_of
    from fedlora.client.own_task import open_task
    from fedlora.errors import FedloraError
    from fedlora.finetune.local import fresh, put

    config = settings_of(place)
    if config.continual is not None:
        raise FedloraError(
            f"{place}: a stream's branches are right on top of each other alone; its report has"
            " every task's accuracy, and the card in adapters/all says how to load the whole"
        )
    own = open_task(config, task, data, text, label)
    own.examples_to_judge()
    put(own.objective, fresh(own.objective, 0))
    rows = [{"adapter": "base", **_told(own.objective.score(own.judging))}]
    for folder in adapter:
        base = own.objective.slot.base
        check_named_base(folder, config.backbone, base)
        loaded = peft_folder.load(folder, base.digest)
        rank = max(layer.rank for layer in loaded.spec.layers)
        if rank != own.objective.slot.spec.layers[0].rank:
            own = open_task(config.with_rank(rank), task, data, text, label)
        put(own.objective, loaded)
        rows.append({"adapter": str(folder), **_told(own.objective.score(own.judging))})
    show(rows, json)


def _told(scores: dict[str, float]) -> dict[str, float]:
    """Scores, with the perplexity of a language model beside its nats a token."""
    return scores | ({"perplexity": math.exp(scores["nll"])} if "nll" in scores else {})
