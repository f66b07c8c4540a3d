"""One case of the bench, lived through in its own process."""

from dataclasses import asdict
from typing import Any

from fedlora.aggregation.contract import Aggregator
from fedlora.backbone import open_slot
from fedlora.bench.comm.cases import CODECS, PLAIN, Case
from fedlora.bench.comm.curve import curve
from fedlora.bench.comm.distortion import bits_of
from fedlora.bench.comm.floor import rounds_floor
from fedlora.bench.comm.full import full_curve
from fedlora.bench.comm.route import live_route
from fedlora.roster import seats

Row = dict[str, Any]


def live(case: Case) -> Row:
    """What a case came to.

    points: of the curve, as `Point` has them; with `served` and `downloads` beside them in `route`.
    clients: that they are of. floor: the fewest bytes of all of them in all rounds, both ways; None
    where adapters lose something on their way, or clients prune them. bits: as `bits_of` counts
    those of a codec.
    """
    if case.table == "route":
        return live_route(case)
    config = case.config
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    specs = [slot.spec.with_rank(seat.rank) for seat in seats(config) if seat.role == "bank"]
    if case.table == "full":
        points = full_curve(config, case.seed, case.full_rate)
        floor: float | None = 2 * points[-1].rounds * len(specs) * 4 * slot.base.parameters
    else:
        points = curve(config, case.seed)
        method: Aggregator = config.warm_start.aggregation.build()
        floor = rounds_floor(method, specs, points[-1].rounds)
    told = {"points": [asdict(point) for point in points], "clients": len(specs)}
    if case.table == "codec":
        floor = floor if case.what == PLAIN else None
        told["bits"] = bits_of(CODECS[case.what], slot.spec)
    return told | {"floor": floor}
