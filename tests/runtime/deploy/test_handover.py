import subprocess
import sys
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener

import numpy as np
import pytest

from fedlora.runtime.deploy import private
from fedlora.runtime.deploy.handover import (
    SECRET,
    SOCKET,
    NoWorkerError,
    ask_worker,
    receive_pack,
    send_replies,
)
from fedlora.runtime.pack import Origin, RequestPack
from fedlora.wire.exchange import Reply, Request

BIG = np.random.default_rng(0).bytes(300_000)
ASKED = RequestPack('{"é": 1}', 5, (Request(1, BIG), Request(0, b"")), Origin("run", "1", "abc"))


@pytest.fixture
def worker(tmp_path):
    """A worker in a thread, which answers one pack; what it was asked."""
    asked = []
    private.write(tmp_path / SECRET, b"s" * 32)
    listener = Listener(str(tmp_path / SOCKET), "AF_UNIX", authkey=b"s" * 32)

    def serve():
        try:
            with listener.accept() as connection:
                asked.append(receive_pack(connection))
                send_replies(connection, [Reply(1, BIG[::-1]), Reply(0, None, "no")])
        except (OSError, EOFError, AuthenticationError) as error:
            asked.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    yield tmp_path, asked
    listener.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_pack_and_its_replies_pass_unchanged(worker):
    folder, asked = worker

    assert ask_worker(folder, ASKED) == [Reply(1, BIG[::-1]), Reply(0, None, "no")]
    assert asked == [ASKED]


def test_who_does_not_know_the_secret_gets_nothing_and_says_nothing(worker):
    folder, asked = worker
    private.write(folder / SECRET, b"x" * 32)

    with pytest.raises(NoWorkerError):
        ask_worker(folder, ASKED)
    assert not any(isinstance(each, RequestPack) for each in asked)


def test_no_worker_is_told_apart_from_a_wrong_answer(tmp_path):
    with pytest.raises(NoWorkerError):
        ask_worker(tmp_path, ASKED)


STARTING = """
import sys, time
from pathlib import Path
from fedlora.runtime.deploy import worker
from fedlora.wire.exchange import Reply

def warm_up():
    time.sleep(1.5)
    Path(sys.argv[1], "warm").touch()

worker.warm_up = warm_up
worker.answer_here = lambda asked: [Reply(r.client, r.frame) for r in asked.requests]
worker.main()
"""


def test_who_asks_a_worker_that_starts_waits_for_it(tmp_path):
    with subprocess.Popen([sys.executable, "-c", STARTING, str(tmp_path)]) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)  # bound, then listening
        assert not (tmp_path / "warm").exists()
        replies = ask_worker(tmp_path, ASKED)
        process.kill()
    assert [reply.frame for reply in replies] == [request.frame for request in ASKED.requests]
    assert (tmp_path / "warm").exists()
