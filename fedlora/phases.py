"""The phases of a run."""

PHASES = (
    "roster",
    "describe",
    "warm_start",
    "growth",
    "finetune",
    "generator",
    "arrive",
    "adopt",
    "evaluate",
)
"""In the order of the story."""
