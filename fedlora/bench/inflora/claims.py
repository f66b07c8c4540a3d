"""From rows to claims: differences over seeds, with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fedlora.evaluation.table import interval
from fedlora.results import Claim

Rows = Sequence[Mapping[str, Any]]


def stream_claims(
    rows: Rows, chosen: Mapping[tuple[str, str], float], families: Sequence[str]
) -> list[Claim]:
    """I2: forgetting beside sequential LoRA, controls, and class alignment beside frozen + CA.

    chosen: of each family and method that keeps a space, the threshold that validation chose.
    """
    claims = []
    for family in families:

        def of(method: str, key: str, family: str = family) -> list[float]:
            return _values(rows, key, family, method, chosen.get((family, method)))

        ours, theirs = (sum(of(m, "within_forgetting")) for m in ("inflora", "seq_lora"))
        claims.append(
            Claim(
                id="I2",
                what=f"{family}: forgetting of InfLoRA over that of sequential LoRA",
                value=max(ours, 0.0) / max(theirs, 1e-9),
                sense="<=",
                target=0.25,
            )
        )
        for control in ("random_down", "complement_only", "subspace_only"):
            gain = _paired(of("inflora", "within_final"), of(control, "within_final"))
            what = f"{family}: final task-incremental accuracy, InfLoRA over {control}"
            claims.append(_claim("I2", what, gain, ">=", 0))
        gain = _paired(of("inflora_ca", "among_final"), of("frozen_ca", "among_final"))
        what = f"{family}: final class-incremental accuracy, InfLoRA + CA over frozen + CA"
        claims.append(_claim("I2", what, gain, ">=", 0))
    return claims


def federated_claims(
    together: Rows, central: Rows, family: str, threshold: float, betas: Sequence[float]
) -> list[Claim]:
    """I3: behind centralised InfLoRA at the mildest skew, and forgetting at every skew."""
    claims = []
    for beta in betas:
        here = [row for row in together if row["beta"] == beta]
        if beta == max(betas):
            alone = _values(central, "within_final", family, "inflora", threshold)
            shared = _values(here, "within_final", family, "inflora", threshold)
            what = f"{family}, beta {beta:g}: centralised minus federated InfLoRA, final accuracy"
            claims.append(_claim("I3", what, _paired(alone, shared), "<=", 2))
        ours = _values(here, "within_forgetting", family, "inflora", threshold)
        theirs = _values(here, "within_forgetting", family, "seq_lora", None)
        what = f"{family}, beta {beta:g}: forgetting, federated InfLoRA minus sequential LoRA"
        claims.append(_claim("I3", what, _paired(ours, theirs), "<=", 0))
    return claims


def _values(rows: Rows, key: str, family: str, method: str, threshold: float | None) -> list[float]:
    """One value a seed, in the order of the seeds."""
    found = [
        row
        for row in rows
        if (row["family"], row["method"], row["threshold"]) == (family, method, threshold)
    ]
    return [float(row[key]) for row in sorted(found, key=lambda row: int(row["seed"]))]


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def _claim(
    name: str, what: str, differences: list[float], sense: Literal[">=", "<="], target: float
) -> Claim:
    found = interval(differences)
    return Claim(
        id=name,
        what=what,
        value=found.mean,
        low=found.low,
        high=found.high,
        unit="points",
        sense=sense,
        target=target,
    )
