import pytest
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.runtime.pack import (
    ReplyPack,
    RequestPack,
    read_replies,
    read_requests,
    write_replies,
    write_requests,
)
from fedlora.wire.exchange import Reply, Request

CLIENTS = st.integers(0, 2**31)
FRAMES = st.binary(max_size=50)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ANSWERED = st.builds(Reply, CLIENTS, FRAMES)
WORDS = st.from_regex(r"[!-~]+( [!-~]+)*", fullmatch=True)
FAILED = st.builds(Reply, CLIENTS, st.none(), WORDS)


@settings(deadline=None)
@given(TEXT, st.integers(0, 2**63 - 1), st.lists(st.builds(Request, CLIENTS, FRAMES)))
def test_requests_arrive_as_they_were_sent(config, seed, requests):
    sent = RequestPack(config, seed, tuple(requests))

    assert read_requests(write_requests(sent)) == sent


@settings(deadline=None)
@given(st.lists(ANSWERED | FAILED), st.floats(0, 1e6))
def test_replies_arrive_as_they_were_sent(replies, seconds):
    sent = ReplyPack(tuple(replies), seconds)

    assert read_replies(write_replies(sent)) == sent


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("boom\nfedlora: bank: 4 of 4", "boom fedlora: bank: 4 of 4"),
        ("\x1b[2Jgone", "[2Jgone"),
        ("\n\n", "no reason was given"),
        ("x" * 5000, "x" * 1000),
    ],
)
def test_what_a_client_says_went_wrong_is_one_plain_line(sent, shown):
    (reply,) = read_replies(write_replies(ReplyPack((Reply(0, None, sent),), 0.0))).replies

    assert reply == Reply(0, None, shown)


@pytest.mark.parametrize("lengths", [[2, 3], [2, 2, 2], [3, 2], [], [5, -1]])
def test_frames_that_do_not_add_up_are_refused(lengths):
    content = write_replies(ReplyPack((Reply(0, b"ab"), Reply(1, b"cd")), 0.0))
    content["about"]["lengths"] = lengths

    with pytest.raises(ValueError):
        read_replies(content)


@pytest.mark.parametrize(
    "about", [{"errors": [5]}, {"errors": [b"boom"]}, {"clients": [0.0]}, {"clients": [False]}]
)
def test_a_client_or_an_error_of_another_type_is_refused(about):
    content = write_replies(ReplyPack((Reply(0, b"ab"),), 0.0))
    content["about"].update(about)

    with pytest.raises(TypeError, match="client"):
        read_replies(content)


def test_a_message_that_is_no_pack_is_refused():
    with pytest.raises(KeyError):
        read_replies(RecordDict({"about": ConfigRecord({"clients": [1]})}))
