"""Means over seeds: one row a method and place."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.evaluation.table import interval

SHOWN = {
    "known": "within_final",
    "forgetting": "within_forgetting",
    "unknown": "among_final",
}
"""Columns of the table: accuracy with the task known and among all classes, and what was lost."""


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for all seeds of a family, method and skew, in the order of the rows.

    `known_95` and the like are half the width of the 95% interval, None for a single seed.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["table"], row["family"], row["beta"], row["method"])
        groups.setdefault(key, []).append(row)
    return [_mean(found) for found in groups.values()]


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    out = {
        "table": f"means: {first['table']}",
        **{key: first[key] for key in ("family", "method", "beta", "threshold", "align_rate")},
        "seeds": len(rows),
    }
    for name, key in SHOWN.items():
        found = interval([float(row[key]) for row in rows])
        out[name] = found.mean
        out[f"{name}_95"] = None if found.high is None else found.high - found.mean
    for key in ("statistics_bytes", "bytes"):
        out[key] = round(sum(row[key] for row in rows) / len(rows))
    return out
