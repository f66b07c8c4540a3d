"""What a bench has shown, as a terminal shows it."""

from collections.abc import Sequence

from fedlora.cli.output import show
from fedlora.results import BenchResults, Claim, claims_table


def show_claims(results: Sequence[BenchResults], json: bool, title: str = "") -> None:
    """Print every claim: for a person what was measured and whether it is met, or all of it."""
    if json:
        show(claims_table(results), json)
        return
    rows = [
        {
            "claim": f"{one.bench} {claim.id}" if len(results) > 1 else claim.id,
            "what": claim.what,
            "measured": _measured(claim),
            "target": f"{claim.wanted} {claim.target:.4g}",
            "met": {True: "yes", False: "no", None: "not measured"}[claim.met],
        }
        for one in results
        for claim in one.claims
    ]
    show(rows, json, title)


def _measured(claim: Claim) -> str:
    if claim.value is None:
        return claim.reason
    value = " ".join(filter(None, (f"{claim.value:.4g}", claim.unit)))
    between = claim.low is not None and claim.high is not None
    return f"{value} ({claim.low:.4g} to {claim.high:.4g})" if between else value
