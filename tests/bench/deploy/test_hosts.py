import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from fedlora.bench.deploy.hosts import hosts, missing
from fedlora.bench.deploy.machines import eventually
from fedlora.bench.deploy.slow_links import slow
from fedlora.errors import FedloraError

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

LISTEN = "import socket; s = socket.create_server(('0.0.0.0', 7001)); c, _ = s.accept(); {}"
ECHO = "c.sendall(c.recv(1 << 16)); c.close()"
SWALLOW = "n = 0\nwhile d := c.recv(1 << 16): n += len(d)\nprint(n)"


def run(host, code):
    return subprocess.Popen(
        [*host.prefix, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )


def call(host, address, seconds):
    """Whether one host gets an echo of another in time."""
    code = (
        "import socket, sys\n"
        f"s = socket.create_connection(('{address}', 7001), timeout={seconds})\n"
        "s.sendall(b'x'); sys.exit(s.recv(1) != b'x')"
    )
    done = subprocess.run(
        [*host.prefix, sys.executable, "-c", code], capture_output=True, check=False
    )
    return done.returncode == 0


def test_hosts_reach_each_other_unless_their_link_is_cut_and_leave_nothing():
    with hosts(["a", "b"]) as (a, b):
        echo = run(b, LISTEN.format(ECHO))
        a.cut()
        assert not call(a, b.address, 1)
        a.mend()
        assert eventually(lambda: call(a, b.address, 5), 30)
        echo.wait(20)
    named = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert a.namespace not in named
    assert b.namespace not in named


def test_a_shaped_link_is_as_slow_as_it_should_be():
    size, megabits = 2_000_000, 10
    with hosts(["a", "b"]) as (a, b):
        try:
            a.shape("tbf", "rate", f"{megabits}mbit", "burst", "32kbit", "latency", "400ms")
        except FedloraError as error:
            pytest.skip(f"the kernel cannot shape links: {error}")
        seconds, received = _sent(a, b, size)

    assert received == size
    assert seconds > 0.9 * 8 * size / (megabits * 1e6)


@pytest.mark.parametrize(("loss", "most"), [(0.0, 3.5), (0.03, 30.0)])
def test_a_far_and_lossy_link_is_late_and_slow_and_delivers(loss, most):
    size, delay = 2_000_000, 0.05
    with hosts(["a", "b"]) as (a, b), links({a: 10e6, b: 10e6}, delay, loss):
        echo = run(b, LISTEN.format(ECHO))
        assert eventually(lambda: _listens(b), 20)
        began = time.monotonic()
        assert call(a, b.address, 20)
        assert time.monotonic() - began > 4 * delay  # a connection, a question, an answer
        echo.wait(20)
        seconds, received = _sent(a, b, size)
        a.cut()
        assert not call(a, b.address, 1)

    assert received == size
    assert 0.9 * 8 * size / 10e6 < seconds < most


def test_a_link_loses_what_it_is_told_to():
    with hosts(["a", "b"]) as (a, b), links({a: 1e9, b: 1e9}, 0.0, 1.0):
        echo = run(b, LISTEN.format(ECHO))
        assert eventually(lambda: _listens(b), 20)
        assert not call(a, b.address, 1)
        echo.kill()


@contextmanager
def links(rates, delay, loss):
    """Skipped where there are no such devices."""
    with ExitStack() as opened:
        try:
            opened.enter_context(slow(rates, delay, loss))
        except FedloraError as error:
            pytest.skip(str(error))
        yield


def _sent(a, b, size):
    """Seconds until b had so many bytes of a, and how many came."""
    sink = run(b, LISTEN.format("\n" + SWALLOW))
    assert eventually(lambda: _listens(b), 20)
    began = time.monotonic()
    code = f"import socket; s = socket.create_connection(('{b.address}', 7001)); "
    subprocess.run(
        [*a.prefix, sys.executable, "-c", code + f"s.sendall(b'x' * {size}); s.close()"],
        check=True,
    )
    received = int(sink.communicate(timeout=60)[0])
    return time.monotonic() - began, received


def _listens(host):
    done = subprocess.run(
        [*host.prefix, "cat", "/proc/net/tcp"], capture_output=True, text=True, check=True
    )
    return ":1B59" in done.stdout  # 7001
