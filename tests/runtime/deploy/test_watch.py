import os
import subprocess
import sys
import time

import psutil
import pytest

from fedlora.errors import FedloraError
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


def test_a_verdict_ends_it_all_with_its_reason(tmp_path):
    sleeper = Service("sleeper", lambda: start(SLEEP, os.environ, tmp_path / "log"))
    doomed = Service(
        "doomed",
        lambda: subprocess.Popen([sys.executable, "-c", ""], start_new_session=True),
        verdict=lambda: "it can never work",
    )

    with pytest.raises(FedloraError, match="it can never work"):
        watch([sleeper, doomed], until(lambda: False), print)
    assert sleeper.process is not None
    assert sleeper.process.poll() is not None
