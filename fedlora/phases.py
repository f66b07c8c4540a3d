"""The phases of a run."""

PHASES = (
    "roster",
    "describe",
    "warm_start",
    "growth",
    "finetune",
    "vouch",
    "generator",
    "trial",
    "arrive",
    "adopt",
    "evaluate",
)
"""In the order of the story."""
