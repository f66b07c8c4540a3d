"""Prompts and checkpoints made ready for a prompt-conditioned generator.

    python scripts/prepare_data.py prepare --source FILE.jsonl --output_dir DIR
    python scripts/prepare_data.py analyze --checkpoint_dir DIR
    python scripts/prepare_data.py test --checkpoint_file PATH [--max_tokens N] [--token_dim D]

The last two take --layout tiles, and --alpha for checkpoints that do not say theirs.

Rows of the JSONL have a prompt and the name of its task: {"prompt": "...", "task": "arc"}. The
output folder is new, or empty.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.cli.errors import one_line_errors
from fedlora.cli.output import show
from fedlora.errors import FedloraError
from fedlora.generators.tokens import Tokeniser, TokensConfig
from fedlora.generators.tokens.layout import idle_key
from fedlora.pipeline.experiment.checkpoints import (
    analyse,
    check_alike,
    find_checkpoints,
    read_each,
    round_trip,
)
from fedlora.pipeline.experiment.prepare import prepare
from fedlora.section import parse

FILES = ("checkpoints", "bytes", "layers", "tensors", "ranks", "alphas")
CONTENT = ("values", "norm", "spread", "tokens", "entries")
"""What is told of each task, in tables that fit a terminal."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    with one_line_errors():
        {"prepare": run_prepare, "analyze": run_analyze, "test": run_test}[given.command](given)


def run_prepare(given: argparse.Namespace) -> None:
    made = prepare(
        given.source, given.output_dir, given.samples_per_prompt, given.test_ratio, given.column
    )
    rows = [
        {"task": task, "train": len(made.train[task]), "test": len(made.test[task])}
        for task in made.train
    ]
    show(rows, given.json, str(given.output_dir))


def run_analyze(given: argparse.Namespace) -> None:
    found = find_checkpoints(given.checkpoint_dir)
    adapters = read_each(found, given.alpha)
    rows = [asdict(row) for row in analyse(found, adapters, tokens(given))]
    if given.json:
        show(rows, as_json=True)
    else:
        for columns in (FILES, CONTENT):
            told = [{name: row[name] for name in ("task", *columns)} for row in rows]
            show(told, as_json=False, title=str(given.checkpoint_dir))
    try:
        check_alike(found, adapters)
    except FedloraError as error:
        print(f"training refuses them: {error}", file=sys.stderr)


def run_test(given: argparse.Namespace) -> None:
    adapter, layout = read_checkpoint(given.checkpoint_file, given.alpha), tokens(given)
    tokeniser, error = Tokeniser(adapter.spec, layout), round_trip(adapter, layout)
    show(
        [
            {
                "values": adapter.spec.size,
                "tokens": tokeniser.tokens,
                "entries": tokeniser.entries,
                "error": error,
            }
        ],
        given.json,
    )
    if error != 0:
        raise FedloraError(f"{given.checkpoint_file}: the round trip differs by {error}")


def tokens(given: argparse.Namespace) -> TokensConfig:
    named = {name: getattr(given, name) for name in ("layout", "max_tokens", "token_dim")}
    chosen = {name: value for name, value in named.items() if value is not None}
    if idle := idle_key(chosen):
        raise FedloraError(f"--{idle}: has no effect with --layout {given.layout}; leave it out")
    return parse(TokensConfig, chosen)


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = own.add_subparsers(dest="command", required=True)
    first = commands.add_parser("prepare", help="split prompts by task into groups")
    first.add_argument("--source", type=Path, required=True)
    first.add_argument("--output_dir", type=Path, required=True)
    first.add_argument("--samples_per_prompt", type=int, default=4)
    first.add_argument("--test_ratio", type=float, default=0.1)
    first.add_argument("--column", help="of the text; prompt, question, text or input when absent")
    second = commands.add_parser("analyze", help="what a folder of checkpoints holds")
    second.add_argument("--checkpoint_dir", type=Path, required=True)
    third = commands.add_parser("test", help="tokenise a checkpoint and back: the error must be 0")
    third.add_argument("--checkpoint_file", type=Path, required=True)
    for command in (second, third):
        command.add_argument("--max_tokens", type=int)
        command.add_argument("--token_dim", type=int)
        command.add_argument("--layout", choices=("flat", "tiles"))
        command.add_argument("--alpha", type=float)
    for command in (first, second, third):
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return own


if __name__ == "__main__":
    main()
