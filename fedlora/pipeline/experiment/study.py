"""All that an experiment needs, found and checked before anything is trained."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlora import registry
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.product import norm
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.hyperconv import HyperConv, outline
from fedlora.generators.tokens.layout import idle_key
from fedlora.pipeline.experiment.checkpoints import (
    KnownBase,
    find_checkpoints,
    known_base,
    read_all,
)
from fedlora.pipeline.experiment.prepare import Prepared, read_prepared
from fedlora.pipeline.experiment.settings import ExperimentConfig


@dataclass(frozen=True)
class Study:
    """Adapters by task beside the prompts of the same tasks; `held_out` tasks never train.

    base: the model that all adapters are of, as far as their files say.
    """

    config: ExperimentConfig
    prepared: Prepared
    bank: Mapping[str, Sequence[LoraAdapter]]
    held_out: Mapping[str, Sequence[LoraAdapter]]
    base: KnownBase

    @property
    def spec(self) -> AdapterSpec:
        """Of every adapter."""
        return next(iter(self.bank.values()))[0].spec

    @property
    def validating(self) -> int:
        """Training prompts of a task that only validate, whole groups: as many as are judged later.

        As many for each task, half of the fewest at most; none where that is less than a group, or
        where another generator than hyperconv learns.
        """
        if self.config.generator.name != "hyperconv":
            return 0
        group = self.prepared.group
        fewest = min(len(self.prepared.train[task]) for task in self.bank)
        later = min(len(self.prepared.test[task]) for task in self.bank)
        return min(later // group, fewest // group // 2) * group

    @property
    def prompts(self) -> int:
        """Prompts of a task in all; one that has fewer says some again."""
        most = max(len(self.prepared.train[task]) for task in self.bank) - self.validating
        return self.validating + min(most, self.config.max_prompts)

    def texts(self, task: str) -> list[str]:
        """A task's prompts of the training split, those that validate first."""
        own = self.prepared.train[task]
        learn = islice(cycle(own[self.validating :]), self.prompts - self.validating)
        return [*own[: self.validating], *learn]

    def generator(self, width: int) -> Generator:
        """The generator of the configuration, told what the prompts are like."""
        part = self.config.generator
        options = dict(part.model_extra or {})
        if part.name == "hyperconv":
            options |= {
                "prompt_width": width,
                "samples_per_prompt": self.prepared.group,
                "test_ratio": self.validating / self.prompts,
            }
        built: Generator = GeneratorPart(name=part.name, **options).build()
        return built

    def training_bank(self, encoded: Mapping[str, Tensor], generator: Generator) -> TrainingBank:
        """Each checkpoint beside its task's prompts, or their mean for a generator that asks so."""
        pairs = [(task, adapter) for task, own in self.bank.items() for adapter in own]
        flat = {task: torch.cat([encoded[text] for text in self.texts(task)]) for task in self.bank}
        conditions = torch.stack([flat[task] for task, _ in pairs])
        return TrainingBank(
            [adapter for _, adapter in pairs],
            generator.sees(conditions, self.prompts),
            [task for task, _ in pairs],
        )

    def plan(self, width: int) -> dict[str, Any]:
        """What a training would work with, counted."""
        generator = self.generator(width)
        counted: dict[str, Any] = {
            "tasks": len(self.bank),
            "held out": len(self.held_out),
            "checkpoints": sum(map(len, self.bank.values())),
            "prompts a task": self.prompts,
            "of them validate": self.validating,
            "prompts in a group": self.prepared.group,
            "values": self.spec.size,
            "generator": self.config.generator.name,
        }
        if isinstance(generator, HyperConv):
            counted |= outline(generator.config, self.spec, self.prompts, width)
        return counted


def open_study(config: ExperimentConfig) -> Study:
    """Read and check the checkpoints, the prompts, the device and the tracker.

    Raises:
        FedloraError: whatever would stop the experiment later; the first that is found.
    """
    _check_machine(config)
    _check_out(config.out)
    prepared = read_prepared(config.prompts)
    found = find_checkpoints(config.checkpoint_dir, config.max_checkpoints)
    for task in found:
        if task not in prepared.train or task not in prepared.test:
            known = ", ".join(sorted(prepared.train))
            raise FedloraError(
                f"{config.prompts}: no prompts of task '{task}', which has checkpoints; there are"
                f" prompts of {known}: lay checkpoints out as TASK/CHECKPOINT in"
                f" {config.checkpoint_dir}, by the same names of tasks"
            )
    for task in config.held_out:
        if task not in found:
            raise FedloraError(
                f"held_out: '{task}' has no checkpoints in {config.checkpoint_dir};"
                f" {registry.nearest(task, list(found))}"
            )
    adapters = read_all(found, config.alpha)
    _check_zeros(found, adapters)
    _check_copies(config, adapters)
    bank = {task: own for task, own in adapters.items() if task not in config.held_out}
    if len(bank) < 2:
        raise FedloraError(
            f"checkpoint_dir: {len(bank)} task{'s' * (len(bank) != 1)} to learn from in"
            f" {config.checkpoint_dir}, and two are the least; add TASK/CHECKPOINT of another, or"
            " hold out fewer"
        )
    if config.max_prompts < prepared.group:
        raise FedloraError(
            f"max_prompts={config.max_prompts}: fewer than the {prepared.group} prompts of a group;"
            " raise it, or prepare the data with fewer samples_per_prompt"
        )
    _check_prompts(config, prepared, list(bank))
    held_out = {task: adapters[task] for task in config.held_out}
    study = Study(config, prepared, bank, held_out, known_base(found))
    _check_options(study)
    return study


def _check_options(study: Study) -> None:
    """Refuse what is decided by the prepared prompts, and what would have no effect."""
    config, given = study.config, study.config.generator.model_extra or {}
    wanted, group = given.get("samples_per_prompt", study.prepared.group), study.prepared.group
    if wanted != group:
        raise FedloraError(
            f"generator.samples_per_prompt={wanted}, but {config.prompts} was prepared with"
            f" {group}: leave it out, or prepare the data again"
        )
    for name in ("prompt_width", "test_ratio"):
        if name in given:
            raise FedloraError(f"generator.{name}: follows from the prompts here; leave it out")
    tokens = given.get("tokens", {})
    if idle := idle_key(tokens):
        layout = tokens.get("layout", "flat")
        raise FedloraError(
            f"generator.tokens.{idle}: has no effect with layout: {layout}; leave it out"
        )
    least: int = config.generator.build().least_tasks
    if len(study.bank) < least:
        raise FedloraError(
            f"checkpoint_dir: {len(study.bank)} tasks to learn from, and generator"
            f" '{config.generator.name}' needs {least}"
        )
    training = getattr(config.generator.options(), "training", None)
    if training is not None and training.patience is not None and not study.validating:
        raise FedloraError(
            "generator.training.patience: no prompts validate, which takes hyperconv and two"
            f" groups of {group} training prompts of each task; leave it out"
        )


def _check_prompts(config: ExperimentConfig, prepared: Prepared, tasks: Sequence[str]) -> None:
    """Refuse two tasks with the same prompts: there would be nothing to hear."""
    owner: dict[frozenset[str], str] = {}
    for task in tasks:
        first = owner.setdefault(frozenset(prepared.train[task]), task)
        if first != task:
            raise FedloraError(
                f"{config.prompts}: '{first}' and '{task}' have the same prompts, so that nothing"
                " tells them apart; give each task its own"
            )


def _check_zeros(
    found: Mapping[str, Sequence[Path]], adapters: Mapping[str, Sequence[LoraAdapter]]
) -> None:
    """Refuse a checkpoint that changes nothing, as one of before the first step does."""
    for task, paths in found.items():
        for path, adapter in zip(paths, adapters[task], strict=True):
            if not norm(adapter):
                raise FedloraError(f"'{path}': an adapter of zeros, never trained; delete it")


def _check_copies(config: ExperimentConfig, adapters: Mapping[str, Sequence[LoraAdapter]]) -> None:
    """Refuse two tasks with the same adapter: what they ask for cannot be told apart."""
    owner: dict[str, str] = {}
    for task, own in adapters.items():
        for adapter in own:
            first = owner.setdefault(adapter.digest(), task)
            if first != task:
                raise FedloraError(
                    f"checkpoint_dir: '{first}' and '{task}' in {config.checkpoint_dir} hold the"
                    " same adapter; give each task its own"
                )


def _check_out(out: Path) -> None:
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise FedloraError(f"out: '{there}' is no folder that can be written to; choose another")


def _check_machine(config: ExperimentConfig) -> None:
    training = getattr(config.generator.options(), "training", None)
    if training is not None and not torch.cuda.is_available():
        if training.device == "gpu":
            raise FedloraError("generator.training.device=gpu: there is none here; set it to auto")
        if training.precision == "16-mixed":
            raise FedloraError(
                "generator.training.precision=16-mixed: needs a GPU; set it to bf16-mixed"
            )
    tracker = config.tracker.name
    if tracker is not None and importlib.util.find_spec(tracker) is None:
        raise FedloraError(
            f"tracker.name: '{tracker}' is not installed; pip install 'fedlora[trackers]'"
        )
