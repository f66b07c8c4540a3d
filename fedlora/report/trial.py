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
    return [_choice(seed, many) for seed in run.seeds if _apart(seed.trial)]


def _choice(seed: SeedFolder, many: bool) -> str:
    apart = _apart(seed.trial)
    served = str(seed.trial.get("chosen", ""))
    told = [f"“{method(name).label}” {decimal(apart[name], 3)}" for name in sorted(apart)]
    of = f" of seed {seed.seed}" if many else ""
    return (
        f"The bank’s own trial{of} chose “{method(served).label}” to serve newcomers. Errors on the"
        f" examples of tasks left out, beside the mean of all tried on the same task, over"
        f" the middle half of tasks: {', '.join(told)}."
    )


def _apart(trial: Mapping[str, Any]) -> dict[str, float]:
    """How much more each method erred than all in the mean, over the middle half of tasks."""
    told = trial.get("apart")
    values = {str(n): finite(v) for n, v in told.items()} if isinstance(told, dict) else {}
    return {name: value for name, value in values.items() if value is not None}
