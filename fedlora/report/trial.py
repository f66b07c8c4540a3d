"""What the bank's own trial chose, in words."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from fedlora.report.formats import decimal
from fedlora.report.methods import method
from fedlora.report.run_folder import RunFolder, SeedFolder
from fedlora.report.series import finite


def choices(run: RunFolder) -> list[str]:
    """A sentence for each seed whose adoption was chosen by trial: who serves, and why."""
    many = len(run.seeds) > 1
    return [_choice(seed, many) for seed in run.seeds if _middles(seed.trial)]


def _choice(seed: SeedFolder, many: bool) -> str:
    middles = _middles(seed.trial)
    served = str(seed.trial.get("chosen", ""))
    told = [f"“{method(name).label}” {decimal(middles[name], 3)}" for name in sorted(middles)]
    of = f" of seed {seed.seed}" if many else ""
    return (
        f"The bank’s own trial{of} chose “{method(served).label}” to serve newcomers. Losses on the"
        f" examples of tasks left out, beside the base model’s, in the median: {', '.join(told)}."
    )


def _middles(trial: Mapping[str, Any]) -> dict[str, float]:
    """The median loss of each method over tasks, beside the base model's."""
    losses = trial.get("losses")
    found: dict[str, float] = {}
    for name, tasks in losses.items() if isinstance(losses, dict) else ():
        values = [v for v in map(finite, tasks.values()) if v is not None]
        if values:
            found[str(name)] = median(values)
    return found
