"""`fedlora bench`: measure what was promised, and write it to results/."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.console import watching
from fedlora.cli.options import AsJson
from fedlora.cli.output import show

app = typer.Typer(help="Measure what was promised, and write results/.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="The results file.")]


@app.command("main")
def main_bench(out: OutOption = Path("results/main.json"), json: AsJson = False) -> None:
    """Measure the main job: quality, time, determinism, resumption, PEFT, bytes."""
    from fedlora.bench.main import bench_main
    from fedlora.results import claims_table

    with watching() as observer:
        results = bench_main(out, observer)
    show(claims_table([results]), json)
