"""`fedlora evaluate`: what an adapter is worth on a task."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import AsJson, DataOption, LabelOption, RunDir, TaskOption, TextOption
from fedlora.cli.output import show


def evaluate(
    run: RunDir,
    adapter: Annotated[Path, typer.Option(help="A PEFT folder, of this run or of plain PEFT.")],
    task: TaskOption = None,
    data: DataOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    json: AsJson = False,
) -> None:
    """Score an adapter beside the base model, on a task's test split or on your own data.

    Example: fedlora evaluate RUN_DIR --adapter my_adapter --task rotation=40,contrast=0.5
    """
    from fedlora.adapter import peft_folder
    from fedlora.cli.own_task import open_task
    from fedlora.finetune.local import fresh, put
    from fedlora.runtime.run import resume

    own = open_task(resume(run), task, data, text, label)
    objective = own.objective
    loaded = peft_folder.load(adapter, objective.slot.base.digest)
    rows = []
    for name, candidate in (("base", fresh(objective, 0)), (str(adapter), loaded)):
        put(objective, candidate)
        rows.append({"adapter": name, **objective.score(own.judging)})
    show(rows, json)
