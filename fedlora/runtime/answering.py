"""How a node answers a pack: after a look at who asks, by its warm worker, or by itself."""

import json
import logging
import os
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora import spans
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.handover import FOLDER, NoWorkerError, ask_worker
from fedlora.runtime.deploy.outbox import Outbox
from fedlora.runtime.deploy.own import own_of_environment
from fedlora.runtime.deploy.wish import Wish, wish_of_environment
from fedlora.runtime.log_observer import MARK
from fedlora.runtime.pack import RequestPack
from fedlora.wire.exchange import Reply, lost, one_by_one

# torch and the clients come with the first pack: Flower imports this for every message.
if TYPE_CHECKING:
    from fedlora.client.client import Client
    from fedlora.client.newcomer import Newcomer
    from fedlora.client.stream.client import StreamClient
    from fedlora.config import RunConfig

OUTBOX = "FEDLORA_OUTBOX"
"""The environment variable that names the file in which a client keeps its answers."""

NOT_ANSWERED = "not answered: "
"""What a client's own line begins with when it could not do what the server asked."""

THEIRS = "the server's configuration"

NO_NEWCOMER = "this client is no newcomer"
"""What a client with a share says to a standing server."""


def answer_pack(asked: RequestPack) -> list[Reply]:
    """One reply for each request; by the node's worker where one lives, else in this process."""
    replies = _answer(asked)
    for reason in dict.fromkeys(reply.error for reply in replies if reply.error):
        if reason != NO_NEWCOMER:
            logging.getLogger("flwr").warning("%s%s%s", MARK, NOT_ANSWERED, reason)
    return replies


def other_version(theirs: str) -> str | None:
    """Why this client cannot work with a server of a version; None where it can, or is not told."""
    ours = version("fedlora")
    if theirs in ("", ours):
        return None
    return f"this client runs fedlora {ours}, the server {theirs}: install the same on both"


def _answer(asked: RequestPack) -> list[Reply]:
    if why := other_version(asked.origin.version):
        return _refused(asked, FedloraError(why))
    folder = os.environ.get(FOLDER)
    if folder is not None:
        try:
            return ask_worker(Path(folder), asked)
        except NoWorkerError:
            pass  # it starts, or has just ended; the same answer takes longer here
    return answer_here(asked)


def answer_here(asked: RequestPack) -> list[Reply]:
    """One reply for each request, from clients in this process."""
    wish = wish_of_environment()
    try:
        if asked.origin.standing != (wish is not None):
            raise FedloraError(NO_NEWCOMER if wish is None else "a newcomer has no seat in a run")
        if wish is not None:
            newcomer = start_newcomer(asked.config, asked.seed, wish)
            _check_base(asked, newcomer.base)
            return one_by_one(newcomer.handle)(asked.requests)
        client = start_client(asked.config, asked.seed)
        _check_base(asked, client.slot.spec.base)
    except Exception as error:  # noqa: BLE001 - clients that cannot even be made say so
        return _refused(asked, error)
    kept = os.environ.get(OUTBOX)
    if kept is None:
        return client.handle_many(asked.requests)
    return Outbox(Path(kept)).answer(asked, client.handle_many)


@lru_cache(maxsize=1)
def start_client(config: str, seed: int) -> "Client | StreamClient":
    """A client of fedlora's own; one a process, made again when the run or its seed changes."""
    with spans.span("import"):
        from fedlora.client.opening import open_clients

    return open_clients(_followed(config, seed), seed)


@lru_cache(maxsize=1)
def start_newcomer(config: str, seed: int, wish: Wish) -> "Newcomer":
    """A newcomer with the task that its command names."""
    from fedlora.client.newcomer import Newcomer

    followed = _followed(config, seed)
    return Newcomer(followed, seed, Path(wish.out), Path(wish.data), wish.text, wish.label)


def _followed(config: str, seed: int) -> "RunConfig":
    """The server's configuration as this machine follows it.

    Whether it is a simulation, whose noise its seed repeats and whose clients may attack, is not
    for the server to say.
    """
    from fedlora.config import from_dict

    asked = from_dict(json.loads(config), origin=THEIRS)
    if not _simulated():
        raw = asked.model_dump(mode="json")
        raw["runtime"]["name"] = "deployment"
        asked = from_dict(raw, origin=THEIRS)
    if seed not in asked.seeds:
        raise FedloraError(f"the server asks for seed {seed}, which its configuration has not")
    own = own_of_environment()
    return asked if own is None else own.apply(asked)


def _simulated() -> bool:
    """Whether this process is one of Ray's, which no SuperNode is."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def warm_up() -> None:
    """Import what any pack needs, before the first one comes."""
    with spans.span("import"):
        import fedlora.client.opening  # noqa: F401


def _check_base(asked: RequestPack, ours: str) -> None:
    """Refuse to work on another base model than the server's, before anything is trained.

    Raises:
        FedloraError: the weights differ.
    """
    theirs = asked.origin.base
    if theirs and theirs != ours:
        raise FedloraError(
            f"this client's base model is {ours[:12]}, the server's {theirs[:12]}: take the same"
            " weights on both (backbone.name, or --model on the client)"
        )


def _refused(asked: RequestPack, error: Exception) -> list[Reply]:
    return [lost(request, error) for request in asked.requests]
