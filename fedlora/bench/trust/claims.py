"""What the rows of the bench show: T1 to T4, and T6."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.bench.claims import interval_claim, plain_claim, without_value
from fedlora.bench.trust.plan import CLEAN, DEFENCES, SHARE
from fedlora.results import Claim

Row = dict[str, Any]
POINTS = 100.0
BARE = DEFENCES[0]
CLEAN_COST, ATTACK_COST, SUCCESS = 0.5, 3.0, 10.0
"""Points that a defence may cost in peace, points that attackers may cost, and percent of marked
images that may be taken for the target.
"""


def accuracy_claims(rows: Sequence[Row]) -> list[Claim]:
    """T1: what defences cost, what attackers cost in spite of them, and the backdoor's success.

    Differences are between federations of the same seed and deal, one with the clean, undefended
    one; the interval is over seeds. Where more than a fifth attack the numbers are told without a
    claim, and of what costs little or nothing without defences no defence claims anything.
    """
    found: list[Claim] = []
    for deal in dict.fromkeys(row["deal"] for row in rows):
        for defence in DEFENCES[1:]:
            what = f"points newcomers of a clean run lose: defence {defence} ({deal})"
            found += _losses(rows, what, CLEAN, 0.0, defence, deal, CLEAN_COST)
        kinds = dict.fromkeys(
            (row["attack"], row["share"])
            for row in rows
            if row["deal"] == deal and 0 < row["share"] <= SHARE
        )
        for attack, share in kinds:
            for defence in DEFENCES:
                found += _attacked(rows, attack, share, defence, deal)
    return found


def _attacked(
    rows: Sequence[Row], attack: str, share: float, defence: str, deal: str
) -> list[Claim]:
    """What is lost, and the backdoor's success; a reason in place of what is small anyway."""
    about = f"{share:.0%} {attack}, defence {defence} ({deal})"
    claims = _losses(
        rows, f"points newcomers lose: {about}", attack, share, defence, deal, ATTACK_COST
    )
    if "backdoor" in attack and any(claim.value is not None for claim in claims):
        rates = [POINTS * row["backdoor"] for row in of_case(rows, attack, share, defence, deal)]
        what = f"success of the backdoor: {about}"
        claims.append(interval_claim("T1", what, rates, "<=", SUCCESS, "%"))
    if defence == BARE:
        return claims
    bare = {_kind(claim): claim for claim in _attacked(rows, attack, share, BARE, deal)}
    return [_void(claim, bare.get(_kind(claim))) for claim in claims]


def _kind(claim: Claim) -> str:
    return claim.what.partition(":")[0]


def _void(claim: Claim, plain: Claim | None) -> Claim:
    """A defence claims nothing against what does no harm without it."""
    if plain is None or not plain.met:
        return claim
    told = f"{plain.value:.1f} {plain.unit} without defences, so that nothing is shown"
    return without_value(claim, told)


def _losses(
    rows: Sequence[Row],
    what: str,
    attack: str,
    share: float,
    defence: str,
    deal: str,
    target: float,
) -> list[Claim]:
    """A claim of what is lost; a reason in its place where a federation came to no end."""
    ended = _ended(rows, CLEAN, 0.0, BARE, deal) or _ended(rows, attack, share, defence, deal)
    if ended and _planned(rows, attack, share, defence, deal):
        return [Claim(id="T1", what=what, value=None, sense="<=", target=target, reason=ended)]
    clean = {row["seed"]: row for row in of_case(rows, CLEAN, 0.0, BARE, deal)}
    lost = lost_points(clean, of_case(rows, attack, share, defence, deal))
    return [interval_claim("T1", what, lost, "<=", target, "points")] if lost else []


def _ended(rows: Sequence[Row], attack: str, share: float, defence: str, deal: str) -> str | None:
    """Why a federation of these came to no end; None where all did."""
    planned = _planned(rows, attack, share, defence, deal)
    told = [row["reason"] for row in planned if "reason" in row]
    return f"a federation ended early: {told[0]}" if told else None


def of_case(rows: Sequence[Row], attack: str, share: float, defence: str, deal: str) -> list[Row]:
    """Federations of these that came to an end, one a seed."""
    planned = _planned(rows, attack, share, defence, deal)
    return list({row["seed"]: row for row in planned if "accuracy" in row}.values())


def _planned(rows: Sequence[Row], attack: str, share: float, defence: str, deal: str) -> list[Row]:
    """Federations of these, however they ended."""
    wanted = {"attack": attack, "share": share, "defence": defence, "deal": deal}
    return [row for row in rows if wanted.items() <= row.items()]


def lost_points(clean: Mapping[int, Row], rows: Sequence[Row]) -> list[float]:
    """Points of accuracy below the clean federation of the same seed."""
    return [
        round(POINTS * (clean[row["seed"]]["accuracy"] - row["accuracy"]), 9)
        for row in rows
        if row["seed"] in clean
    ]


def fuzz_claims(rows: Sequence[Row]) -> list[Claim]:
    """T2: how many hostile inputs there were, and what they did."""
    banks = [row for row in rows if row["changed"] is not None]
    refused = float(sum(row["inputs"] - row["accepted"] for row in banks))
    unchanged = refused - sum(row["changed"] for row in banks)
    inputs = float(sum(row["inputs"] for row in rows))
    crashed = float(sum(row["crashes"] for row in rows))
    slowest = max(row["slowest"] for row in rows)
    growth = max(row["growth"] or 0 for row in rows) / (1 << 20)
    return [
        plain_claim("T2", "hostile inputs", inputs, ">=", 1e6),
        plain_claim("T2", "inputs that crashed", crashed, "==", 0.0),
        plain_claim("T2", "slowest input, processor time", slowest, "<=", 1.0, "s"),
        plain_claim("T2", "growth of memory", growth, "<=", 64.0, "MiB"),
        plain_claim(
            "T2",
            "refused inputs that left a bank's hash as it was",
            unchanged,
            ">=",
            refused or 1.0,
        ),
    ]


def trick_claims(rows: Sequence[Row]) -> list[Claim]:
    """T3: how many tricks came to nothing, and the memory that one took at most."""
    held, most = sum(row["held"] for row in rows), max(row["growth"] or 0 for row in rows)
    what = "hostile names and files refused, or taken as mere names"
    return [
        plain_claim("T3", what, float(held), ">=", float(len(rows))),
        plain_claim("T3", "memory that refusing a trick took", most / (1 << 20), "<=", 64.0, "MiB"),
    ]


def kill_claims(rows: Sequence[Row]) -> list[Claim]:
    """T4: what a bank still held whose writers were killed, or whose disk ran full."""
    (row,) = rows
    kills, opened, missing = (float(row[key]) for key in ("kills", "opened", "missing"))
    return [
        plain_claim("T4", "writers of a bank killed at work", kills, ">=", 200.0),
        plain_claim("T4", "banks that opened, all adapters whole", opened, ">=", 200.0),
        plain_claim("T4", "acknowledged adapters that were missing", missing, "==", 0.0),
        _full_disk_claim(
            "banks on a full disk that said so in one line, lost nothing and went on with room",
            row["full"],
            row["held"],
        ),
    ]


def run_claims(rows: Sequence[Row]) -> list[Claim]:
    """T4: what became of runs that were killed, or whose disk ran full."""
    (row,) = rows
    kills = float(row["kills"])
    what = "runs on a full disk that said so in one line and went on once there was room"
    return [
        plain_claim("T4", "runs killed at work", kills, ">=", 50.0),
        plain_claim("T4", "verdicts in a run that is not killed", row["verdicts"], ">=", 1.0),
        plain_claim(
            "T4", "banks of killed runs, all adapters whole", row["opened"], ">=", row["begun"] or 1
        ),
        plain_claim(
            "T4", "killed runs resumed to equal hashes and verdicts", row["resumed"], ">=", kills
        ),
        _full_disk_claim(what, row["full"], row["told"]),
    ]


def _full_disk_claim(what: str, full: int | None, held: int | None) -> Claim:
    """How many of the full disks did no harm; no number where none could be mounted."""
    if full is None or held is None:
        reason = "no disk could be mounted: needs Linux and root"
        return Claim(id="T4", what=what, value=None, sense=">=", target=1, reason=reason)
    return plain_claim("T4", what, float(held), ">=", float(full))


def audit_claims(rows: Sequence[Row]) -> list[Claim]:
    """T6: what bandit, the lock and the advisories say."""
    (row,) = rows
    return [
        _none_of(
            "findings of bandit that SECURITY.md does not explain",
            row["unexplained"],
            "bandit is not installed, or had no answer",
        ),
        _none_of("requirements in the lock without a hash", row["unhashed"], ""),
        _none_of(
            "advisories on versions in the lock",
            row["advisories"],
            "pip-audit is not installed, or no database of advisories could be reached",
        ),
    ]


def _none_of(what: str, found: int | None, reason: str) -> Claim:
    """A count that is to be nought, or the reason why nothing was counted."""
    if found is None:
        return Claim(id="T6", what=what, value=None, sense="==", target=0, reason=reason)
    return plain_claim("T6", what, float(found), "==", 0.0)
