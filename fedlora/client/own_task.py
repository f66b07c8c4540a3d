"""A task of one's own: a name of the run's family, or a user's own data, by path."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedlora import foreign
from fedlora.backbone import open_slot
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.objectives import Objective, Rows, objective_for
from fedlora.finetune.task_vector import task_vector
from fedlora.section import parse
from fedlora.tasks.contract import Examples, Kind
from fedlora.tasks.sources.files import Files
from fedlora.tasks.splits import Splits, split_rows, test_mask


@dataclass(frozen=True, eq=False)
class OwnTask:
    """Encoded examples: those that describe the task, and those that judge an adapter.

    name: of the task, or the path of its data.
    """

    name: str
    objective: Objective
    describing: Rows
    judging: Rows

    def digest(self) -> str:
        """SHA-256 of the examples that describe the task."""
        found = hashlib.sha256()
        for name, column in sorted(self.describing.items()):
            found.update(f"{name} {column.dtype} {tuple(column.shape)}".encode())
            found.update(column.contiguous().numpy().data)
        return found.hexdigest()

    def examples_to_judge(self) -> int:
        """How many there are.

        Raises:
            FedloraError: none.
        """
        count = len(next(iter(self.judging.values())))
        if not count:
            raise FedloraError(f"{self.name}: no example is left to judge on; give it five or more")
        return count


def open_task(
    config: RunConfig,
    task: str | None,
    data: Path | None,
    text: str | None = None,
    label: str | None = None,
) -> OwnTask:
    """The task that the options name, on the run's base model.

    Your own data is judged on its test split, or on a fifth of it, and described by the rest; its
    images are read at the size and in the channels that the base model takes.

    Args:
        config: of the run.
        task: a name that the run's family knows.
        data: a path to your own data instead.
        text: its column of texts; "text" when absent.
        label: its column of labels; "label" when absent.

    Raises:
        FedloraError: neither or both of task and data are given, or the data cannot be used.
    """
    if (task is None) == (data is None):
        raise FedloraError("name the task: either --task NAME or --data PATH")
    torch.set_num_threads(config.runtime.threads)
    if task is not None:
        found = config.tasks.build().load(task)
        splits = found.splits["train"], found.splits["test"]
        return _encode(config, task, found.kind, found.label_names, *splits)
    said = {"path": data, "text": text, "label": label, **_images(config)}
    named = {key: value for key, value in said.items() if value is not None}
    table = Files(parse(Files.Config, named)).load()
    rows = np.arange(len(table.examples))
    sizes = Splits(train=len(rows), validation=len(rows), test=len(rows))
    drawn = split_rows(rows, test_mask(table, 0), sizes, 0, str(data))
    describing = table.examples.take(np.concatenate([drawn["train"], drawn["validation"]]))
    judging = table.examples.take(drawn["test"])
    if not len(describing):
        raise FedloraError(f"{data}: all of it is for tests; give it examples of its own to train")
    return _encode(config, str(data), table.kind, table.label_names, describing, judging)


def describe(
    config: RunConfig,
    task: str | None,
    data: Path | None,
    text: str | None = None,
    label: str | None = None,
    vector: Path | None = None,
) -> Tensor:
    """The task vector (c,) of the task that the options name, or the one in a file.

    Raises:
        FedloraError: the task is not named exactly once, or cannot be used.
    """
    if sum(given is not None for given in (task, data, vector)) > 1:
        raise FedloraError("name the task once: --task, --data or --task-vector")
    if vector is None:
        own = open_task(config, task, data, text, label)
        return task_vector(own.objective, own.describing, config.task_vector)
    try:
        foreign.check(vector)
        found = load_file(vector)["vector"]
    except (OSError, KeyError, SafetensorError) as error:
        raise FedloraError(f"{vector}: no tensor 'vector' can be read from it ({error})") from None
    if found.ndim != 1 or found.dtype != torch.float32 or not found.isfinite().all():
        raise FedloraError(
            f"{vector}: 'vector' is {tuple(found.shape)} {found.dtype}, and a task vector (c,)"
            " torch.float32, all finite; make it with fedlora task-vector"
        )
    return found


def _images(config: RunConfig) -> dict[str, int | None]:
    """How the base model takes images; None where it does not say."""
    base = open_slot(config.backbone, config.lora, config.runtime.device).base
    said = getattr(base.model, "config", None)
    size = getattr(said, "image_size", None)
    return {
        "size": size if isinstance(size, int) else None,
        "channels": getattr(said, "num_channels", None),
    }


def _encode(
    config: RunConfig,
    name: str,
    kind: Kind,
    labels: tuple[str, ...],
    describing: Examples,
    judging: Examples,
) -> OwnTask:
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    objective = objective_for(slot, kind, labels, config.lora.head, config.backbone.max_length)
    return OwnTask(name, objective, objective.encode(describing), objective.encode(judging))
