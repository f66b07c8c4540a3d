import subprocess
import sys
import time

import pytest

from fedlora.bench.deploy.hosts import hosts, missing
from fedlora.bench.deploy.machines import eventually
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
        sink = run(b, LISTEN.format("\n" + SWALLOW))
        assert eventually(lambda: _listens(b), 20)
        began = time.monotonic()
        code = f"import socket; s = socket.create_connection(('{b.address}', 7001)); "
        subprocess.run(
            [*a.prefix, sys.executable, "-c", code + f"s.sendall(b'x' * {size}); s.close()"],
            check=True,
        )
        received = int(sink.communicate(timeout=60)[0])
        seconds = time.monotonic() - began

    assert received == size
    assert seconds > 0.9 * 8 * size / (megabits * 1e6)


def _listens(host):
    done = subprocess.run(
        [*host.prefix, "cat", "/proc/net/tcp"], capture_output=True, text=True, check=True
    )
    return ":1B59" in done.stdout  # 7001
