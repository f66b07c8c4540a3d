"""Which share of a run's clients each SuperNode carries: what the server's own files say of it.

A share stands in the comment of a public key in the server's `nodes/`. What a SuperNode says of
itself is believed only where nothing is secured.
"""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import Control, read_public_key
from fedlora.runtime.deploy.place import Place

FILE = "shares.json"
VARIABLE = "FEDLORA_SHARES"
"""The environment variable that names the file to ServerApps."""


def comment_of(share: int | None) -> str:
    """What follows a public key in its file."""
    return "newcomer" if share is None else f"share={share}"


def share_of(file: Path) -> int | None:
    """The share in a public key's file; None for a newcomer's.

    Raises:
        FedloraError: the file cannot be read.
    """
    try:
        words = file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise FedloraError(f"{file}: no public key can be read from it ({error})") from None
    found = re.fullmatch(r"share=(\d{1,6})", words[-1]) if words else None
    return None if found is None else int(found[1])


def variable(place: Place) -> dict[str, str]:
    """For the environment of a process that is to know the shares."""
    return {VARIABLE: str(place.state / FILE)}


def write_shares(place: Place, superlink: Control) -> None:
    """Tell the ServerApps of a place which SuperNode has which share, in a file beside them.

    Raises:
        NoAnswerError: the SuperLink does not answer.
    """
    shares = dict[bytes, int]()
    for file in place.nodes.glob("*.pub"):
        with suppress(FedloraError):  # a key that cannot be read was said already
            if (share := share_of(file)) is not None:
                shares[read_public_key(file)] = share
    here = [node for node in superlink.nodes() if node.public_key in shares]
    nodes = {node.id: shares[node.public_key] for node in here}
    told = {"of": place.facts.shares, "nodes": nodes}
    atomic.write_text(place.state / FILE, json.dumps(told))


def read_shares() -> tuple[dict[int, int], int] | None:
    """The share of each SuperNode by its id, and how many shares there are.

    None where no place's server has started this process, or where nothing is secured.

    Raises:
        FedloraError: the file is missing or malformed.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        return None
    try:
        told = json.loads(Path(named).read_text())
        return {int(node): int(share) for node, share in told["nodes"].items()}, int(told["of"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FedloraError(f"{named}: cannot be read ({error}); restart the server") from None
