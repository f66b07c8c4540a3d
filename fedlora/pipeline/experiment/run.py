"""Train a generator in an experiment's folder, and say how well it listens."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fedlora import atomic, tracking
from fedlora.adapter.product import distance, norm
from fedlora.backbone.text_encoder import TextEncoder, open_encoder
from fedlora.config import stamped
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.learner import identity
from fedlora.generators.mean import Mean, MeanConfig
from fedlora.generators.training import LOGS
from fedlora.pipeline.experiment import final_model, settings
from fedlora.pipeline.experiment.judging import centre, nearest_tasks, share
from fedlora.pipeline.experiment.prepare import encodings
from fedlora.pipeline.experiment.study import Study
from fedlora.server.observer import Observer, learning

CONFIG, FINAL, METRICS = "config.yaml", "results/final_model", "results/metrics.json"
BEGUN = "begun.sha256"
"""Digest of the adapters, prompts and settings that an experiment was begun with."""


def create(study: Study) -> Path:
    """A new folder, OUT/NAME_YYYYMMDD_HHMMSS, with the configuration, its paths made absolute.

    Raises:
        FedloraError: it exists, or cannot be written.
    """
    folder = stamped(study.config.out, study.config.name)
    if folder.exists():
        raise FedloraError(f"{folder}: is there already; wait a second, or name another experiment")
    paths = ("checkpoint_dir", "prompts", "out")
    absolute = {name: getattr(study.config, name).absolute() for name in paths}
    atomic.write_text(folder / CONFIG, settings.dump(study.config.model_copy(update=absolute)))
    return folder


def run(study: Study, folder: Path, observer: Observer) -> dict[str, Any]:
    """Train, or go on training, in a folder; write results/final_model and results/metrics.json.

    The curves go to tensorboard_logs/ and to the configuration's tracker.

    Returns:
        What results/metrics.json holds.

    Raises:
        FedloraError: the training fails, or the folder cannot be written.
    """
    encoder = open_encoder(study.config.encoder.name, study.config.encoder.max_length)
    generator = study.generator(encoder.width)
    encoded = encodings(study.config.prompts, study.prepared, encoder)
    bank = study.training_bank(encoded, generator)
    _check_begun(study, generator, bank, folder)
    _fit(study, generator, bank, folder, observer)
    made = final_model.FinalModel(generator, encoder, study.base)
    final_model.save(folder / FINAL, made, study.config.encoder)
    measured = judge(study, generator, bank, encoder)
    if lost := [row["task"] for row in measured["tasks"] if _worse_than_none(row)]:
        observer.note(
            f"what it makes for {', '.join(lost)} is further from the truth than an adapter of"
            f" zeros: it learned nothing of use{_remedy(study)}"
        )
    atomic.write_text(folder / METRICS, json.dumps(measured, indent=1) + "\n")
    return measured


def judge(
    study: Study, generator: Generator, bank: TrainingBank, encoder: TextEncoder
) -> dict[str, Any]:
    """On prompts that never trained: whose adapters lie nearest, and how far the truth is.

    Distances are shares of the true adapter's norm; `mean` is what the average of the bank's
    tasks comes to.
    """
    average = Mean(MeanConfig())
    average.fit(bank, seed=0, workdir=Path("unused"), progress=lambda _: None)
    groups = {
        task: [
            encoder.encode(texts[start : start + study.prepared.group]).flatten()
            for start in range(0, len(texts), study.prepared.group)
        ]
        for task in (*study.bank, *study.held_out)
        for texts in [study.prepared.test[task]]
    }
    rows: list[dict[str, Any]] = []
    for task, own in groups.items():
        trained = [*study.bank.get(task, ()), *study.held_out.get(task, ())]
        truth = centre(trained)
        size = norm(truth)
        made = [
            generator.sample(generator.sees(group.unsqueeze(0), study.prepared.group), seed=0)[0]
            for group in own
        ]
        plain = average.sample(bank.conditions[:1], seed=0)
        rows.append(
            {
                "task": task,
                "held_out": task in study.held_out,
                "groups": len(own),
                "nearest_is_own": share(nearest_tasks(made, study.bank), [task] * len(own)),
                "distance": sum(distance(one, truth) for one in made) / len(made) / size,
                "mean": distance(plain[0], truth) / size,
            }
        )
    known = [row for row in rows if not row["held_out"]]
    return {
        "nearest_is_own": sum(row["nearest_is_own"] for row in known) / len(known),
        "chance": 1 / len(known),
        "tasks": rows,
    }


def _remedy(study: Study) -> str:
    trains = hasattr(study.config.generator.options(), "training")
    return "; lower generator.training.learning_rate, or give it more epochs" if trains else ""


def _worse_than_none(row: Mapping[str, Any]) -> bool:
    return not row["held_out"] and not row["distance"] < 1


def _fit(
    study: Study, generator: Generator, bank: TrainingBank, folder: Path, observer: Observer
) -> None:
    with _tracker(study, folder, observer) as log:
        progress = learning(observer, study.config.generator.name, log)
        generator.fit(bank, seed=study.config.seed, workdir=folder, progress=progress)


@contextmanager
def _tracker(
    study: Study, folder: Path, observer: Observer
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """What takes the losses of an epoch; the tracker is closed whatever happens.

    One that does not start costs no training: TensorBoard has the same curves.
    """
    config = study.config
    if config.tracker.name is None:
        yield lambda _: None
        return
    project, workspace = config.tracker.place()
    try:
        tracker = tracking.begin(
            config.tracker.name,
            project=project,
            workspace=workspace,
            name=config.tracker.experiment or folder.name,
            folder=folder,
            config=config.model_dump(mode="json"),
            online=config.tracker.online,
        )
    except FedloraError as error:
        observer.note(f"{error}; the curves are in {folder / LOGS} alone")
        yield lambda _: None
        return
    try:
        yield partial(_log, tracker, observer)
    finally:
        tracker.finish()


def _log(tracker: Any, observer: Observer, losses: Mapping[str, float]) -> None:
    if not losses.get("epochs"):  # what the fit came to, which is no curve
        return
    try:
        tracker.log(losses, step=int(losses["epoch"]))
    except Exception as error:  # noqa: BLE001 - each has errors of its own; none costs a training
        observer.note(f"the tracker took no losses of epoch {losses['epoch']:.0f}: {error}")


def _check_begun(study: Study, generator: Generator, bank: TrainingBank, folder: Path) -> None:
    """Refuse to go on with other checkpoints, prompts or settings than it was begun with.

    Raises:
        FedloraError: they have changed since.
    """
    adapters = torch.stack([adapter.flatten() for adapter in bank.adapters])
    now = identity(generator.config, study.config.seed, adapters, bank.conditions)
    file = folder / BEGUN
    begun = atomic.first_bytes(file, f"{now}\n".encode()).decode().strip()
    if begun != now:
        raise FedloraError(
            f"{folder}: its checkpoints, prompts or settings are not those that it was begun with;"
            " put them back, or begin another experiment with --config"
        )
