"""A file of prompts, made ready: split by prompt, counted, encoded once."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlora import atomic, seeding
from fedlora.backbone.text_encoder import TextEncoder
from fedlora.errors import FedloraError
from fedlora.tasks.prompts import by_task, read_prompts

TRAIN, TEST, CARD, ENCODINGS = "train.jsonl", "test.jsonl", "prepared.json", "encodings.safetensors"


@dataclass(frozen=True)
class Prepared:
    """Texts by task, and how many make a group.

    A task's test prompts never train; they are whole groups, and at least one group trains.
    """

    train: Mapping[str, list[str]]
    test: Mapping[str, list[str]]
    group: int


def prepare(
    source: Path, output: Path, group: int, test_ratio: float, column: str | None = None
) -> Prepared:
    """Split each task's different prompts, and write the folder whole or not at all.

    Args:
        source: prompts with a column `task`; without one, all are of one task.
        output: the folder to write.
        group: prompts in a group (samples_per_prompt).
        test_ratio: share of each task's groups that is kept for judging, at least one of them.
        column: as for `read_prompts`.

    Raises:
        FedloraError: the file is bad, or a task has fewer than two groups.
    """
    if group < 1 or not 0 < test_ratio < 1:
        raise FedloraError("samples_per_prompt is at least 1, test_ratio between 0 and 1")
    train: dict[str, list[str]] = {}
    test: dict[str, list[str]] = {}
    for task, texts in by_task(read_prompts(source, column)).items():
        name, groups = task or source.stem, len(texts) // group
        if groups < 2:
            raise FedloraError(
                f"{source}: task '{name}' has {len(texts)} different prompts, and two groups of"
                f" {group} are the least; give it more, or lower samples_per_prompt"
            )
        order = torch.randperm(len(texts), generator=seeding.generator(0, "prompts", name))
        kept = max(1, min(round(groups * test_ratio), groups - 1)) * group
        test[name] = [texts[int(i)] for i in order[:kept]]
        train[name] = [texts[int(i)] for i in order[kept:]]
    prepared = Prepared(train, test, group)
    with atomic.folder(output, replaced=(ENCODINGS,)) as draft:
        for file, part in ((TRAIN, train), (TEST, test)):
            rows = [
                {"task": task, "prompt": text} for task, texts in part.items() for text in texts
            ]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (draft / file).write_text(lines, encoding="utf-8")
        card = {"samples_per_prompt": group, "test_ratio": test_ratio, "tasks": len(train)}
        (draft / CARD).write_text(json.dumps(card, indent=2) + "\n")
    return prepared


def read_prepared(folder: Path) -> Prepared:
    """The inverse of `prepare`.

    Raises:
        FedloraError: the folder is none, or damaged.
    """
    try:
        group = int(json.loads((folder / CARD).read_text(encoding="utf-8"))["samples_per_prompt"])
    except FileNotFoundError:
        raise FedloraError(
            f"{folder}: no prepared prompts; make them with scripts/prepare_data.py prepare"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedloraError(f"{folder / CARD}: damaged ({error}); prepare the data again") from None
    return Prepared(
        by_task(read_prompts(folder / TRAIN)), by_task(read_prompts(folder / TEST)), group
    )


def encodings(folder: Path, prepared: Prepared, encoder: TextEncoder) -> dict[str, Tensor]:
    """Text -> (width,) float32 for every prompt; kept in the folder for the next time."""
    texts = sorted(
        {t for part in (prepared.train, prepared.test) for ts in part.values() for t in ts}
    )
    said = json.dumps([encoder.digest, encoder.max_length, *texts])
    file, key = folder / ENCODINGS, hashlib.sha256(said.encode()).hexdigest()
    try:
        known = load_file(file).get(key) if file.is_file() else None
    except (SafetensorError, OSError):
        known = None  # made again
    if known is None or len(known) != len(texts):
        known = encoder.encode(texts)
        with atomic.folder(folder / ".encoding") as draft:
            save_file({key: known}, draft / ENCODINGS)
        (folder / ".encoding" / ENCODINGS).replace(file)
        (folder / ".encoding").rmdir()
    return dict(zip(texts, known, strict=True))
