"""What the rows of private federations show: T5."""

from collections.abc import Sequence
from typing import Any

from fedlora.bench.claims import Sense, interval_claim, without_value
from fedlora.bench.trust.privacy_plan import FIXED
from fedlora.results import Claim

Row = dict[str, Any]

GAIN, LOSS = 5.0, 5.0
"""Points that newcomers are to gain without protection, and to lose by it at most."""

_MEMBERS = {
    "membership": "members told from others",
    "vector_membership": "members told from others by task vectors",
}
_IMAGES = {
    "image": (
        "other_image",
        "likeness of a task vector's image to its images beyond others of the task",
    ),
    "adapter_image": (
        "adapter_other_image",
        "likeness of an adapter's images to its images beyond others of the task",
    ),
}


def privacy_claims(rows: Sequence[Row]) -> list[Claim]:
    """T5: what protection costs beside the same seed without it, and what attacks find then.

    Without protection as well: where nothing is learned or found there, a claim of what protection
    costs or hides has a reason in place of a value.
    """
    claims = []
    for family in dict.fromkeys(row["family"] for row in rows):
        here = [row for row in rows if row["family"] == family]
        plain = {row["seed"]: row for row in here if row["epsilon"] is None}
        bare = f"without protection ({family})"
        gained = [100 * (row["accuracy"] - row["base"]) for row in plain.values()]
        what = f"points newcomers gain over the base model {bare}"
        learned = interval_claim("T5", what, gained, ">=", GAIN, "points")
        found = _attack_claims(list(plain.values()), bare, True)
        claims += [learned, *found.values()]
        for level in dict.fromkeys(row["epsilon"] for row in here if row["epsilon"] is not None):
            own = [row for row in here if row["epsilon"] == level]
            at = f"{level} ({family})" if level == FIXED else f"at epsilon {level:g} ({family})"
            lost = [100 * (plain[r["seed"]]["accuracy"] - r["accuracy"]) for r in own]
            cost = interval_claim("T5", f"points newcomers lose {at}", lost, "<=", LOSS, "points")
            claims.append(_unless_void(cost, learned))
            if level != FIXED:
                hidden = _attack_claims(own, at, False)
                claims += [_unless_void(claim, found[key]) for key, claim in hidden.items()]
    return claims


def _attack_claims(rows: Sequence[Row], at: str, bare: bool) -> dict[str, Claim]:
    """That attacks find something, if `bare`, or else nothing, in rows that tell of them."""
    sense: Sense = ">=" if bare else "<="
    claims = {}
    for key, what in _MEMBERS.items():
        told = [row[key] for row in rows if key in row]
        if told:
            about = f"{what} {at}, 0.5 is a guess"
            claims[key] = interval_claim("T5", about, told, sense, 0.55)
    for key, (whose, what) in _IMAGES.items():
        more = [row[key] - row[whose] for row in rows if key in row]
        if more:
            claims[key] = interval_claim("T5", f"{what} {at}", more, sense, 0.05)
    return claims


def _unless_void(claim: Claim, control: Claim) -> Claim:
    """A claim, or why it would prove nothing: its control without protection misses its target."""
    if control.met:
        return claim
    reason = f"proves nothing: {control.value:.3g} {control.what}, less than {control.target:g}"
    return without_value(claim, reason)
