"""The Flower ClientApp: a thin shell that hands frames to the clients a node carries.

Flower imports this module for every message of a deployment, so it imports neither torch nor the
client; both come with the first frame.
"""

import json
import time
from collections.abc import Callable
from functools import lru_cache

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedlora import spans
from fedlora.runtime import pack
from fedlora.wire.exchange import Answer, lost

CARRIES, ANSWER = "query.carries", "query.answer"
"""Message types: which clients does the node carry; let them answer these frames."""

Start = Callable[[str, int], Answer]
"""(configuration as JSON, seed) -> what answers for that run's clients."""


def client_app(start: Start | None = None) -> ClientApp:
    """A ClientApp whose clients are made by `start`; by default fedlora's own."""
    app = ClientApp()

    @app.query(CARRIES.partition(".")[2])
    def carries(message: Message, context: Context) -> Message:
        return Message(RecordDict({"node": _carried(context)}), reply_to=message)

    @app.query(ANSWER.partition(".")[2])
    def answer(message: Message, _: Context) -> Message:
        asked = pack.read_requests(message.content)
        began = time.perf_counter()

        try:
            replies = (start or start_client)(asked.config, asked.seed)(asked.requests)
        except Exception as error:  # noqa: BLE001 - clients that cannot even be made say so
            replies = [lost(request, error) for request in asked.requests]
        spans.flush()
        replied = pack.ReplyPack(tuple(replies), time.perf_counter() - began)
        return Message(pack.write_replies(replied), reply_to=message)

    return app


@lru_cache(maxsize=1)
def start_client(config: str, seed: int) -> Answer:
    """A client of fedlora's own; one a process, made again when the run or its seed changes."""
    with spans.span("import"):
        from fedlora.client.client import Client
        from fedlora.config import from_dict

    asked = from_dict(json.loads(config), origin="the server's configuration")
    return Client(asked, seed).handle_many


def _carried(context: Context) -> ConfigRecord:
    """The clients a node names in its node config: `clients`, or its share of all clients."""
    named = context.node_config.get("clients")
    if named is not None:
        return ConfigRecord({"clients": [int(part) for part in str(named).split(",")]})
    share = {key: context.node_config.get(key) for key in ("partition-id", "num-partitions")}
    return ConfigRecord({key: int(value) for key, value in share.items() if value is not None})


app = client_app()
