"""Generate adapters from prompts.

    python scripts/inference.py --model EXPERIMENT --prompt TEXT --output FOLDER
    python scripts/inference.py --model EXPERIMENT --prompt_file FILE --output FOLDER_OR_FILE

--output FOLDER: the prompts of each task make one PEFT folder, FOLDER/TASK where the file names
several. --output FILE.safetensors: every prompt makes an adapter of its own, all in one file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlora.cli.errors import one_line_errors
from fedlora.cli.output import show
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.infer import (
    base_of,
    generate,
    open_model,
    write_batch,
    write_folder,
)
from fedlora.tasks.naming import OUTSIDE
from fedlora.tasks.prompts import Prompt, by_task, read_prompts


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    with one_line_errors():
        infer(given)


def infer(given: argparse.Namespace) -> None:
    if given.prompt is not None and not given.prompt.strip():
        raise FedloraError("--prompt: is empty; say what the task is like")
    prompts = read_prompts(given.prompt_file) if given.prompt_file else [Prompt(given.prompt, "")]
    generator, encoder = open_model(given.model)
    if given.output.suffix == ".safetensors":
        made = {p.text: generate(generator, encoder, [p.text]) for p in prompts}
        write_batch(made, given.output)
        show([{"file": str(given.output), "adapters": len(made)}], given.json)
        return
    rows = []
    tasks = by_task(prompts)
    if "" in tasks and len(tasks) > 1:
        raise FedloraError(
            f"{given.prompt_file}: some rows name a task and others none; name it in all or none"
        )
    for task in tasks:
        if task in (".", "..") or OUTSIDE.search(task):
            raise FedloraError(f"{given.prompt_file}: task '{task}' cannot name a folder")
    reference, task_type = base_of(given.model)
    for task, texts in tasks.items():
        adapter = generate(generator, encoder, texts)
        folder = given.output / task if len(tasks) > 1 else given.output
        base = given.base_model or reference or adapter.spec.base
        write_folder(adapter, folder, base, task_type, "Generated.")
        rows.append({"folder": str(folder), "prompts": len(texts), "digest": adapter.digest()})
    show(rows, given.json)


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
