"""Which of a run's generators serves: the one that its own newcomers were served by."""

import json
from pathlib import Path

from fedlora.adoption.chosen import Chosen
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.server.growing import FOLDER as GROWTH
from fedlora.server.trial import FILE as TRIAL

FOLDER = "serving"
"""Where a baseline is kept that serves."""


def method_in_service(config: RunConfig, chosen: str | None) -> str:
    """The method of the table that the run's adoption serves with; chosen: by its trial."""
    policy = config.adoption.policy.build()
    if isinstance(policy, Chosen) and chosen is not None:
        return chosen
    methods: tuple[str, ...] = policy.methods
    return methods[0] if methods else "generated"


def keep_in_service(folder: Path, method: str, generator: Generator | None) -> None:
    """Save what serves where the run would not keep it anyway."""
    if generator is not None and method not in ("generated", "grown"):
        generator.save(folder / FOLDER)


def folder_in_service(config: RunConfig, folder: Path) -> Path:
    """The generator's folder, in the folder of a seed or of the pipeline.

    Raises:
        FedloraError: the trial's record is damaged.
    """
    trial, chosen = folder / TRIAL, None
    if trial.is_file():
        try:
            chosen = str(json.loads(trial.read_text(encoding="utf-8"))["chosen"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FedloraError(f"{trial}: damaged ({error}); resume the run") from None
    method = method_in_service(config, chosen)
    place = folder / {"generated": "generator", "grown": GROWTH}.get(method, FOLDER)
    return place if place.is_dir() else folder / "generator"
