"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Place = Annotated[
    Path, typer.Argument(help="A run's folder, one of the pipeline's, or a configuration file.")
]
BankPlace = Annotated[
    Path, typer.Argument(help="A run's folder, one of the pipeline's, or a bank's own.")
]
Grown = Annotated[Path, typer.Argument(help="A run's folder, or one of the pipeline's.")]
RunDir = Annotated[Path, typer.Argument(help="A run folder, such as runs/quickstart_...")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Which of the run's seeds; the first when absent.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="A task of the run's family, by its name.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Your own data: JSONL, CSV, Parquet, or a folder.")
]
TextOption = Annotated[
    str | None, typer.Option("--text", help="The column of your own data that holds the text.")
]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="The column of your own data that holds the label.")
]
VectorOption = Annotated[
    Path | None,
    typer.Option("--task-vector", help="A file that fedlora task-vector wrote, in place of data."),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", help="Prompts of the task: a text file, one a line, or JSONL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
