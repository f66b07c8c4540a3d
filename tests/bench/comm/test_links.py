import pytest

from fedlora.bench.comm.families import VISION
from fedlora.bench.comm.links import exchange, sizes_of
from fedlora.bench.deploy.hosts import missing
from fedlora.errors import FedloraError
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
        made, (small, large) = exchange(link, [(1000, 1000), (200_000, 300_000)])
    except FedloraError as error:
        pytest.skip(f"the kernel cannot shape links: {error}")

    counted = made.seconds(300_000, 200_000)
    assert small > 0.9 * 2 * made.delay
    assert small < large
    assert large > 0.9 * counted
