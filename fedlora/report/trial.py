"""What the bank's own trial chose, in words."""

from collections.abc import Mapping
from typing import Any

from fedlora.report.formats import decimal
from fedlora.report.methods import method
from fedlora.report.run_folder import RunFolder, SeedFolder
from fedlora.report.series import finite


def choices(run: RunFolder) -> list[str]:
    """A sentence for each seed whose adoption was chosen by trial: who serves, and why."""
    many = len(run.seeds) > 1
    return [_choice(seed, many) for seed in run.seeds if _means(seed.trial)]


def _choice(seed: SeedFolder, many: bool) -> str:
    means = _means(seed.trial)
    served = str(seed.trial.get("chosen", ""))
    told = [f"“{method(name).label}” {decimal(means[name], 3)}" for name in sorted(means)]
    of = f" of seed {seed.seed}" if many else ""
    return (
        f"The bank’s own trial{of} chose “{method(served).label}” to serve newcomers. Squared"
        f" errors of ΔW on tasks left out, as shares of the trained adapter’s: {', '.join(told)}."
    )


def _means(trial: Mapping[str, Any]) -> dict[str, float]:
    """The mean error of each method over tasks."""
    errors = trial.get("errors")
    found: dict[str, float] = {}
    for name, tasks in errors.items() if isinstance(errors, dict) else ():
        values = [v for v in map(finite, tasks.values()) if v is not None]
        if values:
            found[str(name)] = sum(values) / len(values)
    return found
