"""Answers to messages, each by the question that we asked, whatever the answer says of itself."""

from collections.abc import Collection, Iterator

import httpx
from flwr.app import Message
from flwr.serverapp import Grid
from flwr.superlink.grid import InMemoryGrid


def answers(grid: Grid, asked: Collection[str]) -> Iterator[tuple[str, Message | None]]:
    """(question, answer) of what has come; None for an answer that cannot be read.

    Flower puts an answer together from what its sender wrote, its metadata included: one that is
    broken ends the pulling of all, and one that is forged answers another's question. So where the
    senders are other machines, each is pulled alone.

    Raises:
        httpx.HTTPError, ConnectionError: the SuperLink does not answer.
    """
    if isinstance(grid, InMemoryGrid):
        for answer in grid.pull_messages(list(asked)):
            yield answer.metadata.reply_to_message_id, answer
        return
    for name in list(asked):
        try:
            found = next(iter(grid.pull_messages([name])), None)
        except (httpx.HTTPError, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - whatever a node sends, others go on
            yield name, None
            continue
        if found is not None:
            yield name, found
