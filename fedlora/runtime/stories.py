"""Which story a run tells, and what its results add up to."""

from pathlib import Path
from typing import Any

from fedlora.config import RunConfig
from fedlora.evaluation.results import compile_results
from fedlora.evaluation.stream import compile_stream
from fedlora.run_folder import seed_folder
from fedlora.runtime.serving import Story
from fedlora.server.federation import federate
from fedlora.server.observer import Observer
from fedlora.server.stream.story import federate_stream


def story_of(config: RunConfig, seed: int, folder: Path, observer: Observer) -> Story:
    """One seed: a stream of tasks where there is a `continual` section, else bank and newcomers."""
    place, continual = seed_folder(folder, seed), config.continual
    if continual is not None:
        return lambda transport: federate_stream(
            config, continual, seed, transport, place, observer
        )
    return lambda transport: federate(config, seed, transport, place, observer)


def results_of(config: RunConfig, folder: Path) -> dict[str, Any]:
    """What results.json holds when the seeds are done."""
    return (compile_results if config.continual is None else compile_stream)(config, folder)
