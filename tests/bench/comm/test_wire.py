"""The table of a deployment's bytes, and what its claims notice."""

import pytest

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bench.comm.wire import SHARED_OUT, claims_of, count_claim, floor_of, lines_of, total_of
from fedlora.runtime.framing import Framing
from fedlora.wire.floor import exact_floor
from fedlora.wire.ledger import Entry

SPEC = AdapterSpec("b", (LayerSpec("q", 768, 768, 16),), 8.0)
ADAPTER = 4 * SPEC.size
FRAMING = Framing(nodes=1, packs=1, seconds=1.0)


def entry(client, direction, payload, purpose="train", round=1):
    size, socket = payload + 200, payload + 300
    return Entry("warm_start", round, client, direction, purpose, payload, size, socket)


ENTRIES = [
    entry(1, "up", ADAPTER),
    entry(0, "up", ADAPTER),
    entry(0, "up", 400, "task_vector", round=0),
    entry(0, "down", 3 * ADAPTER),
    entry(0, "down", 3 * ADAPTER),  # a request that was sent twice
]


def test_an_entrys_floor_is_that_of_the_adapters_in_it():
    assert floor_of(entry(0, "up", 400), SPEC) == 400
    assert floor_of(entry(0, "up", 2 * ADAPTER + 12), SPEC) == 2 * exact_floor(SPEC) + 12


def test_lines_are_sums_by_client_direction_round_and_purpose():
    rows = list(lines_of(ENTRIES, SPEC))

    assert [(r["client"], r["direction"], r["round"], r["purpose"]) for r in rows] == [
        (0, "down", 1, "train"),
        (0, "up", 0, "task_vector"),
        (0, "up", 1, "train"),
        (1, "up", 1, "train"),
    ]
    assert (rows[0]["messages"], rows[0]["payload"]) == (2, 6 * ADAPTER)
    for row in rows:
        assert row["floor"] <= row["payload"] < row["serialised"] < row[SHARED_OUT]


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_a_frame_too_many_or_too_few_is_noticed(way, sign):
    own = [each for each in ENTRIES if each.direction == way]
    passed = sum(each.socket for each in own) + sign * own[0].serialised
    row = total_of(ENTRIES, way, [{way: passed}], FRAMING, SPEC)
    unexplained, unwritten = claims_of(row)

    assert row["relay"] == passed
    assert unexplained.met == (sign == 0)
    assert unwritten.met == (sign == 0)


def test_claims_say_what_framing_may_be_and_what_it_was():
    row = total_of(ENTRIES, "up", [{"up": sum(e.socket for e in ENTRIES[:3])}], FRAMING, SPEC)

    assert f"{3 * 100} of {row['relay']:,}" in claims_of(row)[0].what
    assert f"{row['framing']:,}" in claims_of(row)[0].what


def test_a_message_that_another_run_does_not_have_is_noticed():
    assert count_claim(ENTRIES, ENTRIES, "down").met
    again = count_claim(ENTRIES, ENTRIES[:-1], "down")
    assert (again.value, again.met) == (1, False)
    # As many messages, but of other purposes.
    other = [entry(0, "up", 4, purpose="control"), *ENTRIES[1:]]
    assert count_claim(other, ENTRIES, "up").value == 2
