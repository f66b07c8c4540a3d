"""Train a generator from a folder of checkpoints and prepared prompts.

    python scripts/train_generator.py --config FILE.yaml [--checkpoint_dir DIR] [--dry_run]
        [--resume EXPERIMENT] [key=value ...]

--dry_run reads and checks everything, prints what would be trained, and stops.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlora.backbone.text_encoder import encoder_width
from fedlora.cli.console import watching
from fedlora.cli.errors import one_line_errors, resumable
from fedlora.cli.output import show
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment import run as experiment
from fedlora.pipeline.experiment.settings import load
from fedlora.pipeline.experiment.study import open_study


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    with one_line_errors():
        train(given)


def train(given: argparse.Namespace) -> None:
    overrides = list(given.overrides)
    if given.resume and (overrides or given.checkpoint_dir is not None):
        raise FedloraError(
            "--resume goes on with the experiment's own configuration; leave --checkpoint_dir and"
            " key=value out, or begin another with --config"
        )
    if given.checkpoint_dir is not None:
        overrides.append(f"checkpoint_dir={given.checkpoint_dir}")
    if given.resume and not (given.resume / experiment.CONFIG).is_file():
        raise FedloraError(
            f"--resume: '{given.resume}' is no experiment (no {experiment.CONFIG}); name a folder"
            " that train_generator.py made"
        )
    path = given.resume / experiment.CONFIG if given.resume else given.config
    study = open_study(load(path, overrides))
    encoder = study.config.encoder
    planned = study.plan(encoder_width(encoder.name, encoder.max_length))
    if given.dry_run or not given.json:  # what is printed is one document
        show([{"what": name, "value": value} for name, value in planned.items()], given.json)
    if given.dry_run:
        return
    folder = given.resume or experiment.create(study)
    again = f"python scripts/train_generator.py --resume {folder}"
    with resumable(again), watching() as observer:
        measured = experiment.run(study, folder, observer)
    show(measured["tasks"], given.json, str(folder))


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    source = own.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path)
    source.add_argument("--resume", type=Path, help="the folder of an experiment to go on with")
    own.add_argument("--checkpoint_dir", type=Path, help="in place of the configuration's")
    own.add_argument("--dry_run", action="store_true")
    own.add_argument("--json", action="store_true", help="print JSON instead of a table")
    own.add_argument("overrides", nargs="*", metavar="key=value")
    return own


if __name__ == "__main__":
    main()
