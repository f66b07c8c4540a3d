"""What one experiment depends on, in one file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import Field

from fedlora import tracking
from fedlora.config import GeneratorPart, merged
from fedlora.errors import FedloraError
from fedlora.section import Section, parse


class EncoderConfig(Section):
    """The frozen sentence encoder: an embedded name, a local folder, or a hub id."""

    name: str = "minilm"
    max_length: int = Field(128, ge=8)


class TrackerConfig(Section):
    """Who keeps the curves beside TensorBoard; SWANLAB_PROJECT and SWANLAB_WORKSPACE fill gaps."""

    name: tracking.Tracker | None = None
    online: bool = Field(False, description="send them; needs the tracker's key")
    project: str | None = None
    workspace: str | None = None
    experiment: str | None = Field(None, description="its name there; the folder's when absent")

    def place(self) -> tuple[str, str | None]:
        """Project and workspace, from here or from the environment."""
        project, workspace = (os.environ.get(name) for name in tracking.PLACE)
        return self.project or project or "fedlora", self.workspace or workspace or None


class ExperimentConfig(Section):
    """checkpoint_dir: TASK/CHECKPOINT, a folder a task, or checkpoints of one task.

    prompts: the folder that `prepare_data.py prepare` wrote; its tasks have the folders' names.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=80)
    seed: int = Field(0, ge=0)
    checkpoint_dir: Path
    prompts: Path
    out: Path = Path("runs")
    max_checkpoints: int = Field(50, ge=1, description="of a task, the last by their numbers")
    max_prompts: int = Field(128, ge=1, description="of a task")
    held_out: tuple[str, ...] = Field((), description="tasks that are only judged")
    alpha: float | None = Field(None, gt=0, description="of checkpoints that do not say it")
    encoder: EncoderConfig = EncoderConfig()
    generator: GeneratorPart = Field(default_factory=lambda: GeneratorPart(name="hyperconv"))
    tracker: TrackerConfig = TrackerConfig()


def load(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a YAML file, with `key=value` over it.

    Raises:
        FedloraError: one line that names the file, the key and the remedy.
    """
    raw: Any = merged(path, overrides)
    try:
        return parse(ExperimentConfig, raw)
    except FedloraError as error:
        raise FedloraError(f"{path}: {error}") from None


def dump(config: ExperimentConfig) -> str:
    """The whole configuration as YAML; `load` of it gives an equal one."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))
