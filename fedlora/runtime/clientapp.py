"""The Flower ClientApp: a thin shell that hands frames to the clients a node carries.

Flower imports this module for every message of a deployment, so it imports neither torch nor the
client; both come with the first frame.
"""

import logging
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedlora import spans
from fedlora.runtime import finished, pack
from fedlora.runtime.answering import answer_pack, other_version
from fedlora.runtime.log_observer import MARK
from fedlora.wire.exchange import Reply

CARRIES, ANSWER = "query.carries", "query.answer"
"""Message types: which clients does the node carry; let them answer these frames."""

Respond = Callable[[pack.RequestPack], Sequence[Reply]]
"""What a node makes of a pack: one reply for each request, in their order; never raises."""


def client_app(respond: Respond = answer_pack) -> ClientApp:
    """A ClientApp whose packs are answered by `respond`; by default by fedlora's own clients."""
    app = ClientApp()

    @app.query(CARRIES.partition(".")[2])
    def carries(message: Message, context: Context) -> Message:
        if why := other_version(_version_of(message)):
            logging.getLogger("flwr").warning("%snot taking part: %s", MARK, why)
        return Message(RecordDict({"node": _carried(context)}), reply_to=message)

    @app.query(ANSWER.partition(".")[2])
    def answer(message: Message, _: Context) -> Message:
        asked = pack.read_requests(message.content)
        began = time.perf_counter()
        replies = finished.answer(asked, respond)
        spans.flush()
        replied = pack.ReplyPack(tuple(replies), time.perf_counter() - began)
        return Message(pack.write_replies(replied), reply_to=message)

    return app


def _version_of(message: Message) -> str:
    """What the server says of its fedlora; empty where it does not."""
    server: Any = message.content.get("server", {})
    return str(server.get("version", ""))


def _carried(context: Context) -> ConfigRecord:
    """The version, and the clients named in the node config: `clients`, or a share of them all."""
    told: dict[str, str | int | list[int]] = {"version": version("fedlora")}
    named = context.node_config.get("clients")
    if named is not None:
        told["clients"] = [int(part) for part in str(named).split(",")]
    for key in () if named is not None else ("partition-id", "num-partitions"):
        value = context.node_config.get(key)
        if value is not None:
            told[key] = int(value)
    return ConfigRecord(told)  # type: ignore[arg-type]


app = client_app()
