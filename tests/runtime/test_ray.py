"""Real Ray: each test starts one, which takes most of its time."""

import importlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fedlora.errors import FedloraError
from fedlora.runtime import ray as on_ray
from fedlora.runtime.clientapp import client_app
from fedlora.runtime.flower_transport import FlowerTransport
from tests.runtime.echo import ask, collect, respond, small_config

APP = client_app(respond)


class Elsewhere:
    """An app that a node cannot even read, as where fedlora is not installed."""

    def __reduce__(self):
        return importlib.import_module, ("no_such_module",)


def test_nodes_that_cannot_start_end_the_run_with_the_reason():
    """The first test here: the others share a Ray of their own."""
    with (
        on_ray.serving(small_config().runtime, Elsewhere()) as serve,
        pytest.raises(FedloraError, match=r"no node starts on Ray's machines.*no_such_module"),
    ):
        serve(small_config(), 3, lambda transport: ask(transport, ["a"]))


@pytest.fixture(scope="module")
def serve():
    with on_ray.serving(small_config().runtime, APP) as serve:
        yield serve


def test_only_the_client_that_fails_loses_its_answer(serve, tmp_path):
    once = f"die_once {tmp_path / 'marker'}"
    answers, story = collect(
        [
            ["a", "raise boom", "b", "c"],
            ["a", "b", "die", "c", "d", "e", "f"],
            ["a", once, "b", "c"],
        ]
    )
    serve(small_config(), 3, story)
    raised, died, died_once = answers

    assert raised[1].error == "ValueError: boom"
    assert all(raised[client].frame for client in (0, 2, 3))
    assert died[2].error == "its node was lost: its process died, out of memory perhaps"
    assert all(died[client].frame for client in (0, 1, 3, 4, 5, 6))
    assert all(reply.frame for reply in died_once.values())


def test_who_was_finished_in_a_lost_pack_is_not_asked_again(serve, tmp_path):
    counted = [f"count {tmp_path / str(number)}" for number in range(30)]
    dying = [f"die_once {tmp_path / 'marker'}"]
    answers, story = collect([[*counted[:28], *dying, *counted[28:]]])
    serve(small_config(), 3, story)

    assert all(reply.frame for reply in answers[0].values())
    assert {(tmp_path / str(number)).read_text() for number in range(30)} == {"once\n"}


def test_a_client_that_never_answers_does_not_hold_up_the_next_round(serve):
    answers = []

    def story(transport):
        hasty = FlowerTransport(transport._carriers, small_config(timeout=3.0), 3, 1.0)
        answers.append(ask(transport, ["a", "b"]))
        answers.append(ask(hasty, ["sleep 600", "sleep 600"]))
        answers.append(ask(transport, ["c", "d"]))

    serve(small_config(), 3, story)
    _, late, after = answers

    assert {reply.error for reply in late.values()} == {"no answer within 3 s (rounds.timeout)"}
    assert [reply.error for reply in after.values()] == ["", ""]


def test_an_address_without_a_cluster_is_a_clear_error():
    runtime = small_config().runtime.model_copy(update={"address": "127.0.0.1:1"})

    with pytest.raises(FedloraError, match=r"runtime.address: no Ray cluster at '127.0.0.1:1'"):
        on_ray.serving(runtime, APP).__enter__()


INTERRUPTED = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs

from fedlora.runtime import ray
from fedlora.runtime.clientapp import client_app
from tests.runtime.echo import ask, respond, small_config

def story(transport):
    ask(transport, ["a", "b"])
    print("working", flush=True)
    ask(transport, ["sleep 600", "sleep 600"])

with ray.serving(small_config().runtime, client_app(respond)) as serve:
    serve(small_config(), 0, story)
"""


def test_ctrl_c_stops_everything():
    run = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout.readline() == "working\n"
    time.sleep(1.0)
    children = psutil.Process(run.pid).children(recursive=True)
    assert any("raylet" in child.name() for child in children)

    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=120)

    assert "KeyboardInterrupt" in errors
    assert psutil.wait_procs(children, timeout=60)[1] == []
