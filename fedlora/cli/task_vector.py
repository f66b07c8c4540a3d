"""`fedlora task-vector`: what the base model makes of a task's examples, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora import atomic
from fedlora.cli.options import AsJson, DataOption, LabelOption, Place, TaskOption, TextOption
from fedlora.cli.output import show


def task_vector(
    place: Place,
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    task: TaskOption = None,
    data: DataOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    json: AsJson = False,
) -> None:
    """Describe a task by the base model's features of a few of its examples.

    Example: fedlora task-vector pipeline --data mails.jsonl --out mails.safetensors
    """
    from fedlora import frame
    from fedlora.cli.place import settings_of
    from fedlora.client.own_task import describe

    vector = describe(settings_of(place), task, data, text, label)
    atomic.write_bytes(out, frame.pack({"vector": vector}, "format", "pt"))
    show([{"file": str(out), "values": len(vector), "norm": float(vector.norm())}], json)
