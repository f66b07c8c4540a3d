"""The ledger loses no byte, and its lines survive what a kill leaves of them."""

import contextlib
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlora.errors import FedloraError
from fedlora.wire.ledger import Entry, comparison, totals
from fedlora.wire.message import Message, encode, payload

counts = st.integers(0, 2**50)
entries = st.builds(
    Entry,
    phase=st.text(),
    round=counts,
    client=counts,
    direction=st.sampled_from(["up", "down"]),
    purpose=st.sampled_from(["train", "adapter"]),
    payload=counts,
    serialised=counts,
    socket=st.none() | counts,
    status=st.text(),
)


@given(entries)
def test_an_entry_is_one_line_and_comes_back(entry: Entry) -> None:
    line = entry.to_line()

    assert len(line.splitlines()) == 1
    assert Entry.from_line(line + "\n") == entry


@given(st.lists(entries))
def test_totals_add_up_whatever_the_order(written: list[Entry]) -> None:
    rows = totals(written)

    assert sum(row.payload for row in rows) == sum(entry.payload for entry in written)
    assert sum(row.messages for row in rows) == len(written)
    assert len({(row.direction, row.purpose) for row in rows}) == len(rows)
    assert totals(random.Random(0).sample(written, len(written))) == rows


def test_socket_bytes_are_given_only_when_all_were_counted() -> None:
    counted = Entry("adoption", 0, 1, "up", "task_vector", 100, 150, socket=180)
    uncounted = Entry("adoption", 0, 2, "up", "task_vector", 100, 150)

    assert totals([counted, counted])[0].socket == 360
    assert totals([counted, uncounted])[0].socket is None


@given(entries, st.data())
def test_a_torn_line_is_refused_in_one_line(entry: Entry, data: st.DataObject) -> None:
    line = entry.to_line()
    torn = line[: data.draw(st.integers(0, len(line) - 1))]
    with pytest.raises(FedloraError) as caught:
        Entry.from_line(torn)
    assert "\n" not in str(caught.value)


@given(st.text() | st.recursive(st.none() | st.integers(), st.lists).map(str))
def test_anything_else_is_refused(line: str) -> None:
    with contextlib.suppress(FedloraError):
        Entry.from_line(line)
        raise AssertionError(f"accepted {line!r}")


@pytest.mark.parametrize("change", ['"up"|"sideways"', ": 7|: -7", ": 7|: 7.5", ": 7|: true"])
def test_a_value_of_the_wrong_kind_is_refused(change: str) -> None:
    old, new = change.split("|")
    line = Entry("adoption", 0, 1, "up", "train", 7, 9).to_line()
    with pytest.raises(FedloraError, match="wrong type"):
        Entry.from_line(line.replace(old, new))


def test_fedavg_costs_what_its_messages_weigh() -> None:
    """Counted from the messages themselves: 3 clients, 4 rounds, both ways."""
    adapter = Message("train", {"values": torch.zeros(1_000)})
    model = Message("train", {"values": torch.zeros(50_000)})
    other_ways = comparison(spec_size=1_000, base_size=50_000, turns=3 * 4)

    assert other_ways.lora == payload(adapter) * 3 * 4 * 2
    assert other_ways.full == payload(model) * 3 * 4 * 2
    assert payload(model) < len(encode(model)) < payload(model) + 300
