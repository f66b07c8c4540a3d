"""From rows to claims: accuracies over tasks and seeds, and what ViT-B/32 costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.bench.claims import interval_claim, plain_claim
from fedlora.bench.clip.training import METHODS, TASKS
from fedlora.evaluation.table import interval
from fedlora.results import Claim

Rows = list[dict[str, Any]]
PROMISED = {8: 1.18, 16: 2.36, 32: 4.72}
POINTS = 100.0


def accuracy_claims(rows: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """C1: points that centralised training is ahead of federated, over tasks and seeds."""
    claims = []
    for method in METHODS:
        if not method.startswith("LoRA"):
            continue
        here = [row for row in rows if row["method"] == method]
        behind = [POINTS * (row["centralised"] - row["federated"]) for row in here]
        what = f"centralised minus federated accuracy at Dirichlet 0.5, {method}"
        claims.append(interval_claim("C1", what, behind, "<=", 2, "points"))
    return claims


def over_seeds(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Mean accuracies of a method on a task, with the 95% interval of the seeds."""
    means: Rows = []
    for task in TASKS:
        for method in METHODS:
            here = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            line: dict[str, Any] = {"task": task, "method": method, "seeds": len(here)}
            for side in ("federated", "centralised"):
                found = interval([row[side] for row in here])
                line |= {side: found.mean, f"{side} low": found.low, f"{side} high": found.high}
            means.append(line)
    return means


def cost_claims(rows: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """C2, C3 and C4."""
    by_case = {row["case"]: row for row in rows}
    claims = []
    for rank in PROMISED:
        row = by_case[f"ViT-B/32, r {rank}"]
        fewer = 100 * (1 - row["adapter"] / row["full"])
        what = f"fewer bytes a round than the full model, ViT-B/32, r {rank}"
        claims.append(plain_claim("C2", what, fewer, ">=", 98, "%"))
    step = by_case["a wrapped step over plain PEFT's"]
    claims.append(
        Claim(
            id="C3",
            what="CPU time of a wrapped step over plain PEFT's, median of pairs",
            value=100 * (step["ratio"] - 1),
            low=100 * (step["low"] - 1),
            high=100 * (step["high"] - 1),
            unit="%",
            sense="<=",
            target=2,
        )
    )
    claims.append(_memory(by_case["checkpointing on"], by_case["checkpointing off"]))
    for rank, promised in PROMISED.items():
        values = round(by_case[f"ViT-B/32, r {rank}"]["trainable"] / 1e6, 2)
        what = f"trainable values on ViT-B/32, r {rank}"
        claims.append(plain_claim("C4", what, values, "==", promised, "million"))
    differ = by_case["differences"]
    return [
        *claims,
        plain_claim("C4", "largest difference, disabled to plain", differ["disabled"], "==", 0),
        plain_claim(
            "C4",
            "largest difference after merging, share of the largest logit",
            differ["merged"],
            "<=",
            1e-5,
        ),
    ]


def _memory(with_it: Mapping[str, Any], without: Mapping[str, Any]) -> Claim:
    what = "peak memory of a step with checkpointing, share of without"
    if with_it["bytes"] is None:
        reason = "not measured: only Linux counts a process's peak from a mark"
        return Claim(id="C3", what=what, value=None, sense="<=", target=1, reason=reason)
    return plain_claim("C3", what, with_it["bytes"] / without["bytes"], "<=", 1)
