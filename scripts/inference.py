"""Generate adapters from prompts.

    python scripts/inference.py --model EXPERIMENT --prompt TEXT --output FOLDER
    python scripts/inference.py --model EXPERIMENT --prompt_file FILE --output FOLDER_OR_FILE

--output FOLDER: the prompts of each task make one PEFT folder, FOLDER/TASK where the file names
several. --output FILE.safetensors: every prompt makes an adapter of its own, all in one file.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fedlora import atomic
from fedlora.adapter.checkpoint_file import SUFFIXES
from fedlora.cli.errors import one_line_errors
from fedlora.cli.output import show
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.infer import (
    open_model,
    tasks_of,
    warnings,
    write_batch,
    write_folders,
)
from fedlora.tasks.prompts import read_prompts


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    with one_line_errors():
        infer(given)


def infer(given: argparse.Namespace) -> None:
    if given.prompt is not None and not given.prompt.strip():
        raise FedloraError("--prompt: is empty; say what the task is like")
    if given.output.suffix in set(SUFFIXES) - {".safetensors"}:
        raise FedloraError(
            f"--output: '{given.output}' ends in {given.output.suffix}; name a folder, or a file"
            " that ends in .safetensors"
        )
    atomic.check_new(given.output)
    file = given.prompt_file
    if given.output.suffix == ".safetensors":
        texts = [prompt.text for prompt in read_prompts(file)] if file else [given.prompt]
        model = open_model(given.model)
        made = {text: model.serve([text]) for text in texts}
        write_batch({text: served.adapters[0] for text, served in made.items()}, given.output)
        show([{"file": str(given.output), "adapters": len(made)}], given.json)
    else:
        asked = tasks_of(file) if file else {"": [given.prompt]}
        model = open_model(given.model)
        made = {task: model.serve(texts) for task, texts in asked.items()}
        reference = given.base_model or model.maker.reference
        written = write_folders(made, given.output, reference, model.maker.task_type)
        rows = [
            {"folder": str(folder), "prompts": len(texts), "digest": adapter.digest()}
            for (folder, adapter), texts in zip(written.items(), asked.values(), strict=True)
        ]
        show(rows, given.json)
        if reference is None:
            print("the base model is not known; write it in with --base_model", file=sys.stderr)
    for warning in warnings(model.maker, made):
        print(warning, file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument(
        "--model", type=Path, required=True, help="an experiment, its final_model, or a run"
    )
    source = own.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompt")
    source.add_argument("--prompt_file", type=Path, help="text, one a line, or JSONL with tasks")
    own.add_argument("--output", type=Path, required=True)
    own.add_argument("--base_model", help="what from_pretrained takes, for adapter_config.json")
    own.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return own


if __name__ == "__main__":
    main()
