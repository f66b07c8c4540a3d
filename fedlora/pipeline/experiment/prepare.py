"""A file of prompts, made ready: split by prompt, counted, encoded once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlora import atomic, seeding
from fedlora.backbone.text_encoder import TextEncoder
from fedlora.errors import FedloraError
from fedlora.tasks.prompts import by_task, read_prompts

DRAWS = 100
"""How often a split is drawn before tasks are said to share too many prompts."""
TRAIN, TEST, CARD, ENCODINGS = "train.jsonl", "test.jsonl", "prepared.json", "encodings.safetensors"


@dataclass(frozen=True)
class Prepared:
    """Texts by task, and how many make a group.

    A prompt that judges one task trains none. A task's test prompts are whole groups, and at least
    one group trains.
    """

    train: Mapping[str, list[str]]
    test: Mapping[str, list[str]]
    group: int


def prepare(
    source: Path, output: Path, group: int, test_ratio: float, column: str | None = None
) -> Prepared:
    """Split each task's different prompts, and write the folder whole or not at all.

    A prompt of several tasks is on one side in all of them, so that none judges what it trained.

    Args:
        source: prompts with a column `task`; without one, all are of one task.
        output: the folder to write; none yet, or an empty one.
        group: prompts in a group (samples_per_prompt).
        test_ratio: share of each task's groups that is kept for judging, at least one of them.
        column: as for `read_prompts`.

    Raises:
        FedloraError: the file is bad, a task has fewer than two groups or too few of its own, or
            the folder holds something already.
    """
    if group < 1:
        raise FedloraError(f"samples_per_prompt={group}: a group has at least 1 prompt")
    if not 0 < test_ratio < 1:
        raise FedloraError(f"test_ratio={test_ratio:g}: is above 0 and below 1, such as 0.1")
    for held in sorted(output.iterdir()) if output.is_dir() else ():
        atomic.check_new(held, "name another output_dir, or remove that folder")
    texts_of = {
        task or source.stem: texts for task, texts in by_task(read_prompts(source, column)).items()
    }
    for task, texts in texts_of.items():
        if len(texts) < 2 * group:
            raise FedloraError(
                f"{source}: task '{task}' has {len(texts)} different prompts, and two groups of"
                f" {group} are the least; give it more, or lower samples_per_prompt"
            )
    for draw in range(DRAWS):
        train, test = _split(texts_of, group, test_ratio, draw)
        short = [task for task in texts_of if not (len(train[task]) >= group <= len(test[task]))]
        if not short:
            break
    else:
        raise FedloraError(
            f"{source}: task '{short[0]}' shares so many prompts with other tasks that no group of"
            f" {group} is left to train or to judge with; give it more of its own, or lower"
            " samples_per_prompt"
        )
    prepared = Prepared(train, test, group)
    with atomic.folder(output) as draft:
        for file, part in ((TRAIN, train), (TEST, test)):
            rows = [
                {"task": task, "prompt": text} for task, texts in part.items() for text in texts
            ]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (draft / file).write_text(lines, encoding="utf-8")
        card = {"samples_per_prompt": group, "test_ratio": test_ratio, "tasks": len(train)}
        (draft / CARD).write_text(json.dumps(card, indent=2) + "\n")
    return prepared


def _split(
    texts_of: Mapping[str, Sequence[str]], group: int, test_ratio: float, draw: int
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Each task's texts that train and that judge; one that judges a task trains none.

    Small tasks draw first: a large one has others to make up for what was decided by them. What is
    over whole groups of texts that judge does neither.
    """
    order = {
        task: sorted(texts, key=lambda text: seeding.derive(draw, "prompts", text))
        for task, texts in texts_of.items()
    }
    judging: set[str] = set()
    decided: set[str] = set()
    for texts in sorted(order.values(), key=lambda texts: (len(texts), texts)):
        groups = len(texts) // group
        wanted = max(1, min(round(groups * test_ratio), groups - 1)) * group
        missing = max(0, wanted - len(judging.intersection(texts)))
        judging.update([text for text in texts if text not in decided][:missing])
        decided.update(texts)
    train = {task: [t for t in texts if t not in judging] for task, texts in order.items()}
    test = {task: [t for t in texts if t in judging] for task, texts in order.items()}
    return train, {task: texts[: len(texts) // group * group] for task, texts in test.items()}


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
    train, test = read_prompts(folder / TRAIN), read_prompts(folder / TEST)
    if both := {prompt.text for prompt in train} & {prompt.text for prompt in test}:
        raise FedloraError(
            f"{folder}: {min(both)[:80]!r} trains and judges; prepare the data again"
        )
    return Prepared(by_task(train), by_task(test), group)


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
