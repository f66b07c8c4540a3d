"""Whom a phase keeps out: decided once, written down, and then acted on."""

import json
from collections.abc import Callable, Mapping

from fedlora.server.journal import Journal


def decided(
    journal: Journal, place: str, round: int, judge: Callable[[], Mapping[int, str]]
) -> dict[int, str]:
    """Reasons by client; what was written down before a kill is not judged again.

    It would be judged otherwise: those who were kept out before the kill are no longer among those
    who are compared.

    place: of the verdict in the journal, with the round.
    """
    written = journal.outcome(place, round)
    if written is None:
        written = json.dumps(dict(judge())).encode()
        journal.conclude(place, round, written)
    return {int(client): str(reason) for client, reason in json.loads(written).items()}
