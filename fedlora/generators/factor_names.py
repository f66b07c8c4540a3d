"""Which tasks share what, told by their names: rotation=30,corruption=blur."""

from collections.abc import Sequence


def levels(tasks: Sequence[str]) -> dict[str, list[str]]:
    """By factor, the level of each task; only factors whose levels recur, and do not all agree.

    Factors are the keys that every name has. Empty where names tell nothing that tasks share.
    """
    told = [_pairs(task) for task in tasks]
    keys = [key for key in told[0] if all(key in one for one in told)] if told else []
    found = {key: [one[key] for one in told] for key in keys}
    return {key: values for key, values in found.items() if 1 < len(set(values)) < len(tasks)}


def _pairs(task: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in task.split(","))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}
