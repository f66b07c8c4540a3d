"""From federations to tables: what attackers cost, and what protection costs and hides."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from fedlora.bench.trust.claims import POINTS, lost_points, of_case
from fedlora.bench.trust.plan import CLEAN
from fedlora.evaluation.table import interval

Row = dict[str, Any]

ATTACKS, PRIVACY = "attack table", "privacy table"
"""The names of the tables."""

_CASE = ("deal", "attack", "share", "defence")
_TOLD = (
    "membership",
    "membership_surely",
    "vector_membership",
    "vector_membership_surely",
    "image",
    "other_image",
    "adapter_image",
    "adapter_other_image",
)


def attack_table(rows: Sequence[Row]) -> list[Row]:
    """A row for each deal, attack, share of attackers and defence, means over seeds.

    Accuracy is in percent; `lost` is in points below the clean, undefended federation of the same
    seed and deal, with its interval; `backdoor` is the percentage of marked images that are taken
    for the target, and so is `success` where that is what attackers want; `caught` and `wronged`
    are the attackers and the others that did not count, in a federation; `ended` are the seeds
    that came to no end.

    rows: of federations, several of the same where parts of the bench share it.
    """
    found = []
    for case in dict.fromkeys(tuple(row[key] for key in _CASE) for row in rows):
        deal, attack, share, defence = case
        own = of_case(rows, attack, share, defence, deal)
        clean = {row["seed"]: row for row in of_case(rows, CLEAN, 0.0, "none", deal)}
        ended = {row["seed"] for row in rows if "reason" in row and _is_of(row, case)}
        taken = _mean(own, "backdoor", POINTS)
        found.append(
            {
                **dict(zip(_CASE, case, strict=True)),
                "accuracy": _mean(own, "accuracy", POINTS),
                **_lost(lost_points(clean, own)),
                "backdoor": taken,
                **({"success": taken} if "backdoor" in attack else {}),
                "attackers": _mean(own, "attackers"),
                "caught": _mean(own, "kept_out"),
                "wronged": _mean(own, "honest_kept_out"),
                "seeds": len(own),
                "ended": len(ended),
            }
        )
    return found


def privacy_table(rows: Sequence[Row]) -> list[Row]:
    """A row for each family and budget, means over seeds; an epsilon of "none" is no protection.

    epsilon: of adapters, and of task vectors as much again; together: of what is made of both.
    """
    found = []
    for family, epsilon in dict.fromkeys((row["family"], row["epsilon"]) for row in rows):
        own = [row for row in rows if (row["family"], row["epsilon"]) == (family, epsilon)]
        over = interval([POINTS * row["accuracy"] for row in own])
        found.append(
            {
                "family": family,
                "epsilon": "none" if epsilon is None else epsilon,
                "together": own[0]["together"],
                "accuracy": over.mean,
                "low": over.low,
                "high": over.high,
                "base": POINTS * mean(row["base"] for row in own),
                **{key: _mean(own, key) for key in _TOLD},
                "seeds": len(own),
            }
        )
    return found


def _lost(points: Sequence[float]) -> Mapping[str, float | None]:
    if not points:
        return dict.fromkeys(("lost", "low", "high"))
    over = interval(list(points))
    return {"lost": over.mean, "low": over.low, "high": over.high}


def _is_of(row: Row, case: tuple[object, ...]) -> bool:
    return tuple(row[key] for key in _CASE) == case


def _mean(rows: Sequence[Row], key: str, times: float = 1.0) -> float | None:
    """None where nobody tells."""
    told = [times * row[key] for row in rows if key in row]
    return mean(told) if told else None
