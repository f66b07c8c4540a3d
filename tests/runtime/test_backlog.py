from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.runtime.backlog import AHEAD, Backlog, Flight
from fedlora.wire.exchange import Request


def fill(backlog, counts):
    """Node i gets counts[i] requests; all of them."""
    asked = []
    for node, count in enumerate(counts):
        for _ in range(count):
            request = Request(len(asked), b"")
            backlog.put(node, request)
            asked.append(request)
    return asked


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    cost=st.floats(0, 5),
    pack_seconds=st.none() | st.floats(0.01, 10),
    data=st.data(),
)
def test_every_request_is_dealt_once_whatever_order_packs_return_in(
    counts, cost, pack_seconds, data
):
    backlog = Backlog(pack_seconds)
    asked = fill(backlog, counts)
    flying, dealt = [], []

    while True:
        new = backlog.deal(flying)
        flying += new
        dealt += [request for flight in new for request in flight.requests]
        busy = [flight.node for flight in flying]
        assert all(busy.count(node) <= AHEAD for node in busy)
        if not flying:
            break
        flight = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
        backlog.learn(cost * len(flight.requests), len(flight.requests))

    assert sorted(dealt, key=lambda request: request.client) == asked


def test_a_lost_pack_is_asked_again_client_by_client():
    backlog = Backlog(None)
    asked = fill(backlog, [3])
    [lost] = backlog.deal([])

    backlog.put_again(lost)
    flights = [backlog.deal([Flight(0, ())])[0] for _ in asked]

    assert [flight.requests for flight in flights] == [(request,) for request in asked]
    assert all(flight.last for flight in flights)


def test_a_lost_pack_is_asked_again_in_the_groups_that_train_together_and_then_one_by_one():
    backlog = Backlog(None, together=2)
    asked = fill(backlog, [5])
    [lost] = backlog.deal([])

    backlog.put_again(lost)
    groups = [backlog.deal([Flight(0, ())])[0] for _ in range(3)]
    assert [flight.requests for flight in groups] == [
        tuple(asked[:2]),
        tuple(asked[2:4]),
        tuple(asked[4:]),
    ]
    assert [flight.last for flight in groups] == [False, False, True]

    backlog.put_again(groups[0])
    assert [request for request, sent in backlog.drain() if sent == 2] == asked[:2]
    backlog.put_again(groups[1])
    alone = backlog.deal([])
    assert [flight.requests for flight in alone] == [(asked[2],), (asked[3],)]
    assert all(flight.last and flight.lost == 2 for flight in alone)


def test_packs_aim_at_their_seconds_of_work_and_leave_some_for_balance():
    backlog = Backlog(1.0)
    fill(backlog, [100])

    first = backlog.deal([])
    backlog.learn(0.1, 1)
    second = backlog.deal([])

    assert [len(flight.requests) for flight in first] == [1, 1]
    assert [len(flight.requests) for flight in second] == [10, 10]
    backlog.learn(0.05, 1)
    assert [len(flight.requests) for flight in backlog.deal([])] == [20, 20]


def test_what_is_tiny_goes_out_at_once():
    backlog = Backlog(1.0)
    fill(backlog, [1000])
    backlog.deal([])
    backlog.learn(0.0001, 1)

    assert [len(flight.requests) for flight in backlog.deal([])] == [998]


def test_packs_hold_what_is_answered_together():
    backlog = Backlog(1.0, together=8)
    fill(backlog, [20])

    first = backlog.deal([])
    backlog.learn(8 * 5.0, 8)
    rest = backlog.deal(first[1:])

    assert [len(flight.requests) for flight in first + rest] == [8, 8, 4]


@settings(deadline=None)
@given(count=st.integers(1, 200), cost=st.floats(0, 0.5), together=st.integers(1, 40))
def test_who_is_answered_together_does_not_depend_on_how_long_packs_take(count, cost, together):
    backlog = Backlog(1.0, together)
    fill(backlog, [count])
    packs = []

    while dealt := backlog.deal([]):
        packs += dealt
        backlog.learn(cost * len(dealt[0].requests), len(dealt[0].requests))

    assert all(len(pack.requests) % together == 0 for pack in packs[:-1])
