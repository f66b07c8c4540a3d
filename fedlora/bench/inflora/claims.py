"""From rows to claims: differences over seeds, with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.bench.claims import interval_claim, plain_claim
from fedlora.results import Claim

Rows = Sequence[Mapping[str, Any]]

QUARTER = 0.25
"""Of sequential LoRA's forgetting, what InfLoRA may forget."""


def stream_claims(rows: Rows, family: str) -> list[Claim]:
    """I2: forgetting beside sequential LoRA, controls, and class alignment beside frozen + CA.

    A control, or class alignment, that the family was not lived with makes no claim.
    """

    def of(method: str, key: str) -> list[float]:
        return _values([row for row in rows if row["family"] == family], method, key)

    ours, theirs = (of(method, "within_forgetting") for method in ("inflora", "seq_lora"))
    what = f"{family}: forgetting of InfLoRA"
    over = [a - QUARTER * b for a, b in zip(ours, theirs, strict=True)]
    share = max(sum(ours), 0.0) / max(sum(theirs), 1e-9)
    claims = [
        plain_claim("I2", f"{what} over that of sequential LoRA", share, "<=", QUARTER),
        interval_claim(
            "I2", f"{what} minus a quarter of sequential LoRA's", over, "<=", 0, "points"
        ),
    ]
    for control in ("random_down", "complement_only", "subspace_only"):
        if other := of(control, "within_final"):
            gain = _paired(of("inflora", "within_final"), other)
            what = f"{family}: final task-incremental accuracy, InfLoRA over {control}"
            claims.append(interval_claim("I2", what, gain, ">=", 0, "points"))
    if other := of("frozen_ca", "among_final"):
        gain = _paired(of("inflora_ca", "among_final"), other)
        what = f"{family}: final class-incremental accuracy, InfLoRA + CA over frozen + CA"
        claims.append(interval_claim("I2", what, gain, ">=", 0, "points"))
    return claims


def federated_claims(
    together: Rows, central: Rows, family: str, betas: Sequence[float]
) -> list[Claim]:
    """I3: behind centralised InfLoRA at the mildest skew, and forgetting at every skew.

    Rows are of one family.
    """
    claims = []
    for beta in betas:
        here = [row for row in together if row["beta"] == beta]
        if beta == max(betas):
            alone, shared = (_values(rows, "inflora", "within_final") for rows in (central, here))
            what = f"{family}, beta {beta:g}: final accuracy, centralised minus federated InfLoRA"
            claims.append(interval_claim("I3", what, _paired(alone, shared), "<=", 2, "points"))
        ours, theirs = (_values(here, m, "within_forgetting") for m in ("inflora", "seq_lora"))
        what = f"{family}, beta {beta:g}: forgetting, federated InfLoRA minus sequential LoRA"
        claims.append(interval_claim("I3", what, _paired(ours, theirs), "<=", 0, "points"))
    return claims


def _values(rows: Rows, method: str, key: str) -> list[float]:
    """One value a seed, in the order of the seeds."""
    found = [row for row in rows if row["method"] == method]
    return [float(row[key]) for row in sorted(found, key=lambda row: int(row["seed"]))]


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]
