"""What the rows of the bench show: T1, T2 and T4."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from fedlora.bench.trust.plan import CLEAN, DEFENCES, SHARE
from fedlora.evaluation.table import interval
from fedlora.results import Claim

Row = dict[str, Any]
POINTS = 100.0


def accuracy_claims(rows: Sequence[Row]) -> list[Claim]:
    """T1: what screening costs, what attackers cost in spite of it, and the backdoor's success.

    Differences are between federations of the same seed and deal, one with the clean, undefended
    one; the interval is over seeds.
    """
    found: list[Claim] = []
    for deal in dict.fromkeys(row["deal"] for row in rows):
        clean = {row["seed"]: row for row in _of(rows, CLEAN, 0.0, "none", deal)}
        for defence, name in (("screening", "screening"), ("trimmed", "trimming")):
            cost = _lost(clean, _of(rows, CLEAN, 0.0, defence, deal))
            if cost:
                what = f"points that {name} costs newcomers of a clean run ({deal})"
                found.append(spread_claim("T1", what, cost, "points", 0.5))
        attacks = dict.fromkeys(
            r["attack"] for r in rows if r["deal"] == deal and r["share"] == SHARE
        )
        for attack in attacks:
            for defence in DEFENCES:
                own = _of(rows, attack, SHARE, defence, deal)
                lost = _lost(clean, own)
                about = f"20% {attack}, defence {defence} ({deal})"
                if lost:
                    found.append(
                        spread_claim("T1", f"points newcomers lose: {about}", lost, "points", 3.0)
                    )
                if lost and attack == "backdoor":
                    rates = [POINTS * row["backdoor"] for row in own]
                    found.append(
                        spread_claim("T1", f"success of the backdoor: {about}", rates, "%", 10.0)
                    )
    return found


def _of(rows: Sequence[Row], attack: str, share: float, defence: str, deal: str) -> list[Row]:
    wanted = {"attack": attack, "share": share, "defence": defence, "deal": deal}
    return [row for row in rows if "accuracy" in row and wanted.items() <= row.items()]


def _lost(clean: Mapping[int, Row], rows: Sequence[Row]) -> list[float]:
    """Points of accuracy below the clean federation of the same seed."""
    return [
        POINTS * (clean[row["seed"]]["accuracy"] - row["accuracy"])
        for row in rows
        if row["seed"] in clean
    ]


def spread_claim(claim: str, what: str, values: Sequence[float], unit: str, target: float) -> Claim:
    """A mean that is to stay below a target, with its 95% interval over federations."""
    spread = interval(list(values))
    return Claim(
        id=claim,
        what=what,
        value=mean(values),
        low=spread.low,
        high=spread.high,
        unit=unit,
        sense="<=",
        target=target,
    )


def fuzz_claims(rows: Sequence[Row]) -> list[Claim]:
    """T2: how many hostile inputs there were, and what they did."""
    read = [row for row in rows if "inputs" in row]
    unchanged = all(row["unchanged"] for row in rows if "unchanged" in row)
    facts: list[tuple[str, float, str, str, float]] = [
        ("hostile inputs", float(sum(row["inputs"] for row in read)), "", ">=", 1e6),
        ("inputs that crashed", float(sum(row["crashes"] for row in read)), "", "==", 0.0),
        ("slowest input, processor time", max(row["slowest"] for row in read), "s", "<=", 1.0),
        ("growth of memory", max(row["growth"] for row in read) / (1 << 20), "MiB", "<=", 64.0),
        ("a bank's hash unchanged by refused input", float(unchanged), "", "==", 1.0),
    ]
    return [_fact("T2", *fact) for fact in facts]


def kill_claims(rows: Sequence[Row]) -> list[Claim]:
    """T4: what a bank whose writers were killed still held."""
    kills, opened, missing = (
        float(sum(row[key] for row in rows)) for key in ("kills", "opened", "missing")
    )
    return [
        _fact("T4", "writers of a bank killed at work", kills, "", ">=", 200.0),
        _fact("T4", "banks that opened, all adapters whole", opened, "", ">=", 200.0),
        _fact("T4", "acknowledged adapters that were missing", missing, "", "==", 0.0),
    ]


def run_claims(rows: Sequence[Row]) -> list[Claim]:
    """T4: what became of runs that were killed, or whose disk ran full."""
    (row,) = rows
    kills = float(row["kills"])
    facts = [
        _fact("T4", "runs killed at work", kills, "", ">=", 50.0),
        _fact("T4", "banks of killed runs, all adapters whole", row["opened"], "", ">=", kills),
        _fact("T4", "killed runs resumed to equal hashes", row["resumed"], "", ">=", kills),
    ]
    what = "runs on a full disk that said so in one line and went on once there was room"
    if row["full"] is None:
        reason = "no disk could be mounted: needs Linux and root"
        return [*facts, Claim(id="T4", what=what, value=None, sense=">=", target=1, reason=reason)]
    return [*facts, _fact("T4", what, row["told"], "", ">=", float(row["full"]))]


def _fact(claim: str, what: str, value: float, unit: str, sense: Any, target: float) -> Claim:
    return Claim(id=claim, what=what, value=value, unit=unit, sense=sense, target=target)
