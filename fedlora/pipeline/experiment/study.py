"""All that an experiment needs, found and checked before anything is trained."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.hyperconv import HyperConv, outline
from fedlora.pipeline.experiment.checkpoints import find_checkpoints, read_all
from fedlora.pipeline.experiment.prepare import Prepared, read_prepared
from fedlora.pipeline.experiment.settings import ExperimentConfig


@dataclass(frozen=True)
class Study:
    """Adapters by task beside the prompts of the same tasks; `held_out` tasks never train."""

    config: ExperimentConfig
    prepared: Prepared
    bank: Mapping[str, Sequence[LoraAdapter]]
    held_out: Mapping[str, Sequence[LoraAdapter]]

    @property
    def spec(self) -> AdapterSpec:
        """Of every adapter."""
        return next(iter(self.bank.values()))[0].spec

    @property
    def judged(self) -> int:
        """Prompts of a task that validate: as many for each, whole groups."""
        return min(len(self.prepared.test[task]) for task in self.bank)

    @property
    def prompts(self) -> int:
        """Prompts of a task in all; one that has fewer says some again."""
        most = max(len(self.prepared.train[task]) for task in self.bank)
        return self.judged + min(most, self.config.max_prompts)

    def texts(self, task: str) -> list[str]:
        """A task's prompts, those that validate first."""
        train = islice(cycle(self.prepared.train[task]), self.prompts - self.judged)
        return [*self.prepared.test[task][: self.judged], *train]

    def generator(self, width: int) -> Generator:
        """The generator of the configuration, told what the prompts are like."""
        part = self.config.generator
        options = dict(part.model_extra or {})
        if part.name == "hyperconv":
            options |= {
                "prompt_width": width,
                "samples_per_prompt": self.prepared.group,
                "test_ratio": self.judged / self.prompts,
            }
        built: Generator = GeneratorPart(name=part.name, **options).build()
        return built

    def training_bank(self, encoded: Mapping[str, Tensor], generator: Generator) -> TrainingBank:
        """Each checkpoint beside its task's prompts.

        Those that judge are among them only for a generator that keeps them back; one that takes
        a single vector a task learns from the mean of the others.
        """
        first = 0 if generator.takes_prompts else self.judged
        pairs = [(task, adapter) for task, own in self.bank.items() for adapter in own]
        flat = {
            task: torch.cat([encoded[text] for text in self.texts(task)[first:]])
            for task in self.bank
        }
        conditions = torch.stack([flat[task] for task, _ in pairs])
        return TrainingBank(
            [adapter for _, adapter in pairs],
            generator.sees(conditions, self.prompts - first),
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
            "of them judged": self.judged,
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
    prepared = read_prepared(config.prompts)
    found = find_checkpoints(config.checkpoint_dir, config.max_checkpoints)
    for task in found:
        if task not in prepared.train or task not in prepared.test:
            known = ", ".join(sorted(prepared.train))
            raise FedloraError(
                f"{config.prompts}: no prompts of task '{task}', which has checkpoints; there are"
                f" prompts of {known}"
            )
    for task in config.held_out:
        if task not in found:
            raise FedloraError(f"held_out: '{task}' has no checkpoints in {config.checkpoint_dir}")
    adapters = read_all(found, config.alpha)
    _check_copies(config, adapters)
    bank = {task: own for task, own in adapters.items() if task not in config.held_out}
    if len(bank) < 2:
        raise FedloraError(
            f"checkpoint_dir: {len(bank)} task{'s' * (len(bank) != 1)} to learn from, and two are"
            " the least: from one task alone nothing is learned of prompts"
        )
    if config.max_prompts < prepared.group:
        raise FedloraError(
            f"max_prompts={config.max_prompts}: fewer than the {prepared.group} prompts of a group;"
            " raise it, or prepare the data with fewer samples_per_prompt"
        )
    study = Study(config, prepared, bank, {task: adapters[task] for task in config.held_out})
    wanted = (config.generator.model_extra or {}).get("samples_per_prompt", prepared.group)
    if wanted != prepared.group:
        raise FedloraError(
            f"generator.samples_per_prompt={wanted}, but {config.prompts} was prepared with"
            f" {prepared.group}: leave it out, or prepare the data again"
        )
    return study


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


def _check_machine(config: ExperimentConfig) -> None:
    training = getattr(config.generator.options(), "training", None)
    if training is not None and training.device == "gpu" and not torch.cuda.is_available():
        raise FedloraError("generator.training.device=gpu: there is none here; set it to auto")
    tracker = config.tracker.name
    if tracker is not None and importlib.util.find_spec(tracker) is None:
        raise FedloraError(
            f"tracker.name: '{tracker}' is not installed; pip install 'fedlora[trackers]'"
        )
