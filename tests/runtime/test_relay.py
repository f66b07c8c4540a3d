import socket
import threading
from contextlib import suppress

import pytest

from fedlora.runtime.processes import free_ports
from fedlora.runtime.relay import Meter, divide, relays


def answer_with(size):
    """A server that reads a request to its end and answers with `size` bytes; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                while connection.recv(1 << 16):
                    pass
                connection.sendall(b"x" * size)

    threading.Thread(target=serve, daemon=True).start()
    return listening, listening.getsockname()[1]


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_what_passes_a_relay_is_unchanged_and_counted_for_its_node_alone(tmp_path):
    listening, port = answer_with(300_000)
    with relays(2, port, tmp_path / "counters") as (first, second):
        meter = Meter(tmp_path / "counters")
        assert ask(first, b"a" * 1000) == b"x" * 300_000
        assert meter.take(0) == (300_000, 1000)
        assert meter.take(1) == (0, 0)
        ask(second, b"")
        ask(first, b"bb")
        assert (meter.take(0), meter.take(1)) == ((300_000, 2), (300_000, 0))
    listening.close()


def test_a_connection_that_is_open_at_the_end_is_closed_without_a_word(tmp_path, caplog):
    listening, port = answer_with(10)
    with relays(1, port, tmp_path / "counters") as (own,):
        connection = socket.create_connection(("127.0.0.1", own), timeout=10)
        connection.sendall(b"a")
        meter, counted = Meter(tmp_path / "counters"), 0
        while counted < 1:
            counted += meter.take(0)[1]
    with connection, suppress(ConnectionError):
        assert connection.recv(1) == b""
    listening.close()
    assert not caplog.records


def test_a_relay_to_nobody_ends_the_connection_and_counts_nothing(tmp_path):
    (nobody,) = free_ports(1)
    with relays(1, nobody, tmp_path / "counters") as (own,):
        with suppress(OSError):
            assert ask(own, b"a") == b""
        assert Meter(tmp_path / "counters").take(0) == (0, 0)


@pytest.mark.parametrize("total", [0, 1, 7, 10**12])
@pytest.mark.parametrize("weights", [[1], [0, 0, 0], [5, 0, 3], [1, 1, 1, 1, 1, 1]])
def test_shares_add_up_and_follow_the_weights(total, weights):
    shares = divide(total, weights)

    assert sum(shares) == total
    assert len(shares) == len(weights)
    whole = sum(weights) or len(weights)
    for share, weight in zip(shares, weights, strict=True):
        exact = total * (weight if any(weights) else 1) / whole
        assert abs(share - exact) <= 1
