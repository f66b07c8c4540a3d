import os
import subprocess
import sys
import time

import psutil
import pytest

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.verdicts import Verdict, verdict
from fedlora.runtime.deploy.watch import Service, watch
from fedlora.runtime.processes import start

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def until(condition, seconds=20.0):
    """Whether something comes true in time, as `watch` asks."""
    deadline = time.monotonic() + seconds
    return lambda: condition() or time.monotonic() > deadline


def test_what_is_killed_is_started_again_and_all_is_stopped_at_the_end(tmp_path):
    said = []
    service = Service("sleeper", lambda: start(SLEEP, os.environ, tmp_path / "log"))
    seen = []

    def condition():
        if service.process is not None and service.process.pid not in seen:
            seen.append(service.process.pid)
            if len(seen) < 3:
                service.process.kill()
        return len(seen) == 3

    watch([service], until(condition), said.append)
    assert len(seen) == service.starts == 3
    assert not any(psutil.pid_exists(pid) for pid in seen)
    assert [line.partition(";")[0] for line in said] == ["sleeper ended with status -9"] * 2


def test_what_cannot_go_on_without_another_is_started_again_with_it(tmp_path):
    said = []
    node = Service("node", lambda: start(SLEEP, os.environ, tmp_path / "log"))
    host = Service("host", lambda: start(SLEEP, os.environ, tmp_path / "log"), takes_along=node)

    def condition():
        if host.process is not None and host.starts == 1:
            host.process.kill()
        return node.starts == host.starts == 2

    watch([node, host], until(condition), said.append)
    assert node.starts == host.starts == 2
    assert sorted(line.partition(";")[0] for line in said) == [
        "host ended with status -9",
        "node ended with status -15",
    ]


def briefly():
    return subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)


def test_a_final_verdict_ends_it_all_with_its_reason(tmp_path):
    sleeper = Service("sleeper", lambda: start(SLEEP, os.environ, tmp_path / "log"))
    doomed = Service("doomed", briefly, judge=lambda: Verdict("it can never work", True))

    with pytest.raises(FedloraError, match="it can never work"):
        watch([sleeper, doomed], until(lambda: False), print)
    assert sleeper.process is not None
    assert sleeper.process.poll() is not None


def test_what_may_pass_is_tried_again_and_is_final_when_it_has_not_passed(tmp_path, monkeypatch):
    said = []
    waiting = Service("node", briefly, judge=lambda: Verdict("not let in", False))
    watch([waiting], until(lambda: len(said) == 2), said.append)
    assert waiting.starts >= 2
    assert said[0] == "not let in; it is started again in 0.5 s"

    monkeypatch.setattr("fedlora.runtime.deploy.watch._REFUSED_FOR", 1.0)
    with pytest.raises(FedloraError, match="not let in"):
        watch([waiting], until(lambda: False), said.append)


COUNTED = "Failed to initialize the connection.\n[code: 2004] Failed to activate SuperNode.\n"
UNKNOWN = "Failed to initialize.\nClient error '412 Precondition Failed' for url 'https://x'\n"
SAID = [
    ("SuperNode", COUNTED, "still counts this SuperNode's last connection", False),
    ("SuperNode", UNKNOWN, "have it let in with fedlora deploy invite", False),
    ("SuperNode", "[SSL: X] certificate verify failed: unable to get", "authority", True),
    ("SuperNode", "certificate verify failed: certificate has expired (_ssl.c)", "renew", True),
    ("SuperNode", "401 Unauthorized", "signature", True),
    (
        "SuperLink",
        "[Errno 98] Address already in use",
        "control_port",
        True,
    ),
]


@pytest.mark.parametrize(("name", "log", "reason", "final"), SAID)
def test_a_log_says_why_a_process_ended(tmp_path, name, log, reason, final):
    (tmp_path / "log").write_text("Starting\n" + log)
    found = verdict(name, tmp_path / "log", 0)
    assert found is not None
    assert reason in found.reason
    assert found.final is final


HARMLESS = [
    ("SuperNode", "SuperNode ID: 9828523412890489985\nmessage 4124a412"),
    ("SuperNode", "SSL/TLS handshake error detected.\nConnection reset by peer"),
    ("SuperNode", "address already in use"),
    ("SuperLink", 'POST /v1/fleet/activate-node HTTP/1.1" 412\n[ApiError:2004] No SuperNode found'),
    ("worker", "certificate verify failed"),
]


@pytest.mark.parametrize(("name", "log"), HARMLESS)
def test_numbers_and_what_others_did_are_no_verdict(tmp_path, name, log):
    (tmp_path / "log").write_text(log)
    assert verdict(name, tmp_path / "log", 0) is None
    assert verdict(name, tmp_path / "missing", 0) is None
