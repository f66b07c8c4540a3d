"""`fedlora generate`: adapters for a new task from a generator that has learned."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fedlora import atomic
from fedlora.cli.options import (
    AsJson,
    DataOption,
    LabelOption,
    Place,
    PromptsOption,
    SeedOption,
    TaskOption,
    TextOption,
    VectorOption,
)
from fedlora.cli.output import show
from fedlora.errors import FedloraError

if TYPE_CHECKING:
    from fedlora.adapter import LoraAdapter
    from fedlora.pipeline.experiment.infer import Served


def generate(
    place: Place,
    out: Annotated[
        Path,
        typer.Option(help="The PEFT folder to write; of several samples or tasks, the one above."),
    ],
    task: TaskOption = None,
    data: DataOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    prompts: PromptsOption = None,
    task_vector: VectorOption = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Of the adapter; that of the bank when absent.")
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Draws that differ, the same ones for a seed: of cvae or icm, at a spread of 1"
            " where theirs is 0. Other generators draw nothing and refuse more than one.",
        ),
    ] = 1,
    seed: SeedOption = None,
    json: AsJson = False,
) -> None:
    """Generate adapters for a task that the generator has never seen, and write them for PEFT.

    Example: fedlora generate runs/text_... --data mails.jsonl --out adapters/mails
    """
    from fedlora.cli.place import settings_of
    from fedlora.client.own_task import describe
    from fedlora.pipeline.experiment import infer

    atomic.check_new(out)
    experiment = infer.is_experiment(place)
    described = any(given is not None for given in (task, data, text, label, task_vector))
    if experiment and described:
        raise FedloraError(f"{place}: an experiment knows tasks by --prompts alone")
    if prompts is not None and described:
        raise FedloraError("name the task once: --task, --data, --prompts or --task-vector")
    if prompts is not None:
        asked, model = infer.tasks_of(prompts), infer.open_model(place, seed)
        maker = model.maker
        made = {name: model.serve(texts, rank, samples) for name, texts in asked.items()}
    elif experiment:
        raise FedloraError(f"{place}: say what the task is like with --prompts FILE")
    else:
        config = settings_of(place)
        maker = infer.Maker.of_run(config, place, seed)
        vector = describe(config, task, data, text, label, task_vector)
        made = {"": maker.serve(vector, rank, samples)}
    written = infer.write_folders(made, out, maker.reference, maker.task_type)
    answers = [served for served in made.values() for _ in served.adapters]
    show([_row(*one, said) for one, said in zip(written.items(), answers, strict=True)], json)
    for warning in infer.warnings(maker, made):
        typer.echo(warning, err=True)
    if maker.reference is None:
        typer.echo("the base model is not known; name it in adapter_config.json", err=True)
    elif not json:
        Console(stderr=True).print("load it with PeftModel.from_pretrained", style="dim")


def _row(folder: Path, adapter: "LoraAdapter", served: "Served") -> dict[str, Any]:
    told = {"distance": served.distance, "foreign": served.foreign, "error": served.error}
    return {
        "folder": str(folder),
        "rank": max(layer.rank for layer in adapter.spec.layers),
        "values": adapter.spec.size,
        "digest": adapter.digest(),
        **({} if served.distance is None else told),
    }
