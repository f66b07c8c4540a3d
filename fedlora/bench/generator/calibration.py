"""Whether kriging knows how sure it is: errors that it foretells of newcomers, and makes (G8)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.bench.claims import interval_claim, plain_claim
from fedlora.bench.generator.side import Side
from fedlora.generators.contract import Generator
from fedlora.generators.coverage import rank_correlation
from fedlora.generators.kriging import Kriging
from fedlora.results import Claim

SURE = 1.96
"""Standard errors either way, for 95 %."""
MOST = 0.999
"""Of a correlation, whose z is infinite at 1."""
FACTOR = 2.0
"""By which a foretold error may be off, in the mean over newcomers."""

Row = dict[str, Any]


def errors(
    side: Side, kriging: Generator, made: Sequence[LoraAdapter], own: Sequence[LoraAdapter]
) -> list[Row]:
    """Of each newcomer the squared error of DeltaW, in mean squared norms of the bank's adapters.

    made: what each is given by kriging. own: what each trains itself.
    """
    assert isinstance(kriging, Kriging)
    bank = side.bank.adapters
    size = sum(norm(adapter) ** 2 for adapter in bank) / len(bank)
    real = [distance(a, b) ** 2 / size for a, b in zip(made, own, strict=True)]
    foretold = kriging.foretold_error(side.vectors).tolist()
    return [{"foretold": f, "real": r} for f, r in zip(foretold, real, strict=True)]


def rows(family: str, cases: Mapping[int, Row]) -> list[Row]:
    """A row a bank: both errors in the mean, and whether their order is the same."""
    found = []
    for seed, case in cases.items():
        pairs = [(row["foretold"], row["real"]) for row in case["errors"]]
        foretold, real = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        agreement = rank_correlation(pairs)
        found.append(
            {"table": "calibration", "family": family, "seed": seed, "foretold": foretold}
            | {"real": real, "rank correlation": agreement, "newcomers": len(pairs)}
        )
    return found


def claims(family: str, found: Sequence[Row]) -> list[Claim]:
    """G8: the size of errors within a factor of two, over banks, and an order better than none.

    found: of `rows`.
    """
    what = f"{family}: error that kriging foretells of newcomers, in its real one"
    ratios = [row["foretold"] / row["real"] for row in found]
    return [
        interval_claim("G8", what, ratios, ">=", 1 / FACTOR),
        interval_claim("G8", what, ratios, "<=", FACTOR),
        _in_order(found, f"{family}: rank correlation of foretold and real errors over newcomers"),
    ]


def _in_order(found: Sequence[Row], what: str) -> Claim:
    """The mean over banks of Fisher's z, whose variance for ranks is 1.06 / (n - 3) in one of n.

    (Fieller, Hartley and Pearson 1957.)
    """
    turned = [math.atanh(max(-MOST, min(MOST, row["rank correlation"]))) for row in found]
    spread = math.sqrt(sum(1.06 / (row["newcomers"] - 3) for row in found)) / len(found)
    middle = sum(turned) / len(turned)
    low, high = (math.tanh(middle + side * SURE * spread) for side in (-1, 1))
    claim = plain_claim("G8", what, math.tanh(middle), ">=", 0.0)
    return claim.model_copy(update={"low": low, "high": high, "surely": True})
