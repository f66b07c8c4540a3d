"""`fedlora run`: a federation from its configuration to its report."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedlora import config as configuration
from fedlora import run_folder, spans
from fedlora.cli.console import watching
from fedlora.cli.errors import resumable
from fedlora.cli.options import AsJson
from fedlora.cli.report import report
from fedlora.config import RunConfig
from fedlora.errors import FedloraError


def run(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file, such as those in configs/.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, over what the file says.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run folder, killed or interrupted.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, and stop.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Write where the time went, for the report and Perfetto."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Run a federation: fine-tune, fill the bank, learn the generator, serve newcomers, judge.

    Example: fedlora run configs/quickstart.yaml lora.rank=8 runtime.name=ray
    """
    settings, file = _settings(config, overrides or [], resume)
    if dry_run:
        from fedlora.cli.plan import show_plan

        with configuration.naming(file):
            show_plan(settings, json)
        return
    from fedlora.runtime import run as running

    folder = resume or run_folder.create(settings, out)
    Console(stderr=True).print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    profiling = spans.recording(folder / "profile") if profile else nullcontext()
    with (
        configuration.naming(file),
        resumable(f"fedlora run --resume {folder}"),
        profiling,
        watching() as observer,
    ):
        running.run(settings, folder, observer)
    report(folder, json=json)


def _settings(
    config: Path | None, overrides: list[str], resume: Path | None
) -> tuple[RunConfig, Path]:
    """The configuration that is named, or that of the run to go on with, and its file."""
    if resume is not None:
        if config is not None:
            raise FedloraError(
                "--resume takes its configuration from the run folder; name no other"
            )
        if (resume / "bank").exists():
            raise FedloraError(
                f"{resume}: a folder of the pipeline, and no run; go on with fedlora adapters train"
                " or fedlora generator train"
            )
        return run_folder.resume(resume), resume / run_folder.CONFIG
    if config is None:
        raise FedloraError(
            "name a configuration, such as configs/quickstart.yaml, or --resume a run"
        )
    return configuration.load(config, overrides), config
