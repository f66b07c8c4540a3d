"""What Flower, Ray and torch read from the environment when they start."""

import os
import sys
from pathlib import Path

from fedlora import spans

_SETTINGS = {
    # Nobody is told that a run took place, and nothing is installed behind the user's back.
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray starts its workers at nice 15, where the engine's polling starves them.
    "RAY_worker_niceness": "0",
    # Otherwise Ray hides the accelerator from an actor that asked for none of it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Idle OpenMP threads that spin slow the other clients of the machine down.
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
}


def prepare() -> None:
    """Set what the user has not set; must come before the first import of flwr or ray."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def for_workers() -> dict[str, str]:
    """The environment of a process that must import what this one can import."""
    paths = [path or str(Path.cwd()) for path in sys.path]
    inherited = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    return {**inherited, **spans.inherited(), "PYTHONPATH": os.pathsep.join(paths)}
