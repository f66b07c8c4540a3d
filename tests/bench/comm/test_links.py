import pytest

from fedlora.bench.comm import links
from fedlora.bench.comm.families import VISION
from fedlora.bench.comm.links import exchange, link_rows, sizes_of
from fedlora.bench.deploy.hosts import missing
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent
from fedlora.wire.floor import Link


def test_messages_are_as_large_as_their_codec_makes_them():
    sizes = dict(sizes_of([VISION]))

    assert sizes["vision: none"][0] == 2 * sizes["vision: fp16"][0]
    assert sizes["vision: int4"][0] < sizes["vision: int8"][0] < sizes["vision: fp16"][0]
    assert sizes["vision: full fine-tuning"][0] > 10 * sizes["vision: none"][0]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_real_link_is_no_faster_than_its_bytes_allow():
    link = Link(up=8e6, down=80e6, delay=0.02)
    try:
        small, large = exchange(link, [(1000, 1000), (200_000, 300_000)])
    except FedloraError as error:
        pytest.skip(f"the kernel cannot shape links: {error}")

    assert small > 0.9 * 2 * link.delay
    assert small < large
    assert large > 0.9 * link.seconds(300_000, 200_000)


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_small_message_is_shaped_too():
    link = Link(up=80e6, down=80e6, delay=0.0)
    try:
        seconds = exchange(link, [(20_000, 20_000)] * 5)
    except FedloraError as error:
        pytest.skip(f"the kernel cannot shape links: {error}")

    assert min(seconds) > 0.8 * link.seconds(20_000, 20_000)


def test_a_link_that_cannot_be_made_has_no_row(monkeypatch):
    def exchange(link, sizes):
        if link.delay:
            raise FedloraError("no device to delay with")
        return [1.0] * len(sizes)

    monkeypatch.setattr(links, "missing", lambda: None)
    monkeypatch.setattr(links, "exchange", exchange)
    monkeypatch.setattr(links, "sizes_of", lambda _: [("a", (1, 2))])

    (row,) = link_rows([VISION], Silent())

    assert (row["link"], row["measured s"]) == ("1 Gbit/s", 1.0)


def test_links_are_counted_alone_where_there_are_no_namespaces(monkeypatch):
    monkeypatch.setattr(links, "missing", lambda: "not root")
    monkeypatch.setattr(links, "sizes_of", lambda _: [("a", (1, 2))])

    assert [row["measured s"] for row in link_rows([VISION], Silent())] == [None, None]
