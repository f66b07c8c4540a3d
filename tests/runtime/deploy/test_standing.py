"""The standing server's ServerApp, beside a grid that is none."""

from pathlib import Path

import pytest

from fedlora.runtime import pack
from fedlora.runtime.deploy import standing
from tests.conftest import small_config

ORIGIN = pack.Origin("run", "0" * 64, "0.1.0", standing=True)


class Grid:
    """One newcomer, whose answers never arrive whole."""

    def __init__(self) -> None:
        self.sent: list[int] = []  # nodes

    def get_node_ids(self) -> list[int]:
        return [7]

    def push_messages(self, messages: list) -> list[str]:
        self.sent += messages
        return [str(len(self.sent))]


class Server:
    def greeting(self) -> bytes:
        return b"greeting"


def test_a_newcomer_that_was_not_served_is_greeted_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    grid, now = Grid(), [0.0]
    monkeypatch.setattr(standing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(standing, "Message", lambda content, node, kind, ttl: node)
    monkeypatch.setattr(standing, "answers", lambda _, asked: [(name, None) for name in asked])
    host = standing._Host(grid, small_config(), 0, ORIGIN, Server())
    sent = []
    for second in range(60):
        now[0] = float(second)
        host.look()
        sent.append(len(grid.sent))
    assert sent[:6] == [1] * 6
    assert sent[-1] == standing._TRIES


def test_a_newcomer_has_the_runs_timeout_for_an_answer(monkeypatch: pytest.MonkeyPatch):
    grid = Grid()
    monkeypatch.setattr(standing, "Message", lambda content, node, kind, ttl: ttl)
    monkeypatch.setattr(standing, "answers", lambda *_: [])
    config = small_config(rounds={"timeout": 7200.0})
    standing._Host(grid, config, 0, ORIGIN, Server()).look()
    assert grid.sent == [7200.0]
