from fedlora.bench.comm.messages import share_claims
from fedlora.wire.ledger import Entry


def entry(way, purpose, payload, serialised):
    return Entry("warm_start", 1, 0, way, purpose, payload, serialised)


def test_the_worst_large_message_of_each_kind_counts():
    entries = [
        entry("up", "train", 200_000, 200_100),
        entry("up", "train", 200_000, 210_000),
        entry("down", "train", 99_999, 300_000),  # too small to be asked of
        entry("down", "adapter", 200_000, 200_200),
    ]

    down, up = share_claims("none", entries)

    assert (down.met, up.met) == (True, False)
    assert up.value == 200_000 / 210_000
    assert up.what == "payload / serialised, none, train up, 210 KB, the least of 2"
