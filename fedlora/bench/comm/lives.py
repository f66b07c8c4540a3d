"""One case of the bench, lived through in its own process."""

from dataclasses import asdict
from statistics import mean
from typing import Any

from fedlora.backbone import open_slot
from fedlora.bench.comm.cases import Case
from fedlora.bench.comm.curve import curve
from fedlora.bench.comm.full import full_curve
from fedlora.bench.comm.route import live_route
from fedlora.roster import seats
from fedlora.wire.floor import exact_floor

Row = dict[str, Any]


def live(case: Case) -> Row:
    """What a case came to.

    points: of the curve, as `Point` has them; with `served` beside them in `route`. clients: that
    they are of. values: that a client trains, on average. floor: the fewest bytes of these.
    """
    if case.table == "route":
        return live_route(case)
    config = case.config
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    bank = [seat for seat in seats(config) if seat.role == "bank"]
    if case.table == "full":
        points = full_curve(config, case.seed, case.full_rate)
        values = float(slot.base.parameters)
        floor = 4 * values
    else:
        points = curve(config, case.seed)
        specs = [slot.spec.with_rank(seat.rank) for seat in bank]
        values = mean(spec.size for spec in specs)
        floor = mean(exact_floor(spec) for spec in specs)
    return {
        "points": [asdict(point) for point in points],
        "clients": len(bank),
        "values": values,
        "floor": floor,
    }
