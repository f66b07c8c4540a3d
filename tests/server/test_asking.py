import json

import pytest

from fedlora.config import RoundsConfig
from fedlora.errors import FedloraError
from fedlora.server.asking import MOST_REMARKS, Asker
from fedlora.server.export import export
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply
from fedlora.wire.ledger import Entry, by_purpose
from fedlora.wire.message import Message, encode


class Scripted:
    """A transport whose replies are written down beforehand."""

    def __init__(self, *replies):
        self.replies = replies

    def exchange(self, requests):
        assert [r.client for r in requests] == [r.client for r in self.replies]
        yield from self.replies


@pytest.fixture
def ledger(tmp_path):
    """The ledger's lines after asking each client of these replies."""

    def ask(*replies):
        journal = Journal(tmp_path / "journal.sqlite")
        asker = Asker(Scripted(*replies), journal, RoundsConfig(), Silent(), limit=1 << 20)
        messages = {reply.client: Message("train") for reply in replies}
        asker.ask("warm_start", 1, messages, lambda client, message: None)
        lines = [Entry.from_line(line) for line in journal.lines("ledger")]
        journal.close()
        return lines

    return ask


def test_a_request_that_was_sent_twice_has_two_lines(ledger):
    answered = encode(Message("train"))
    lines = ledger(Reply(0, answered), Reply(1, answered, tries=2))

    sent = [(e.client, e.status) for e in lines if e.direction == "down"]
    assert sorted(sent) == [(0, "ok"), (1, "lost"), (1, "ok")]
    assert {e.serialised for e in lines if e.direction == "down"} == {len(encode(Message("train")))}


def test_a_request_that_was_never_sent_has_no_line(ledger):
    lines = ledger(Reply(0, encode(Message("train"))), Reply(1, None, "no node", tries=0))

    assert {e.client for e in lines} == {0}


def test_who_does_not_fit_the_others_has_answered_before_and_after_a_kill(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    rounds = RoundsConfig(min_answers=0.6)
    answered = encode(Message("train"))
    replies = [Reply(0, answered), Reply(1, answered), Reply(2, None, "boom")]
    asker = Asker(Scripted(*replies), journal, rounds, Silent(), limit=1 << 20)
    messages = {client: Message("train") for client in range(3)}
    assert list(asker.ask("describe", 0, messages, lambda *_: None)) == [0, 1]
    asker.refuse("describe", 0, 1, "another head")

    again = Asker(Scripted(), journal, rounds, Silent(), limit=1 << 20)
    assert list(again.ask("describe", 0, messages, lambda *_: None)) == [0]
    journal.close()


def test_a_round_that_is_asked_again_adds_to_the_ledger(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    strict = RoundsConfig(min_answers=1.0)
    messages = {0: Message("train")}
    lost = Asker(Scripted(Reply(0, None, "boom", tries=2)), journal, strict, Silent(), 1 << 20)
    with pytest.raises(FedloraError, match=r"^boom \(said by every client in"):
        lost.ask("warm_start", 1, messages, lambda *_: None)
    answered = Reply(0, encode(Message("train")))
    found = Asker(Scripted(answered), journal, strict, Silent(), 1 << 20)
    found.ask("warm_start", 1, messages, lambda *_: None)

    directions = [Entry.from_line(line).direction for line in journal.lines("ledger")]
    assert directions == ["down", "down", "down", "up"]
    journal.close()


def test_a_round_in_which_all_fail_says_who_failed_and_why_and_asks_all_again(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    messages = {client: Message("train") for client in range(2)}
    failing = Scripted(Reply(0, None, "boom"), Reply(1, None, "no data"))
    asker = Asker(failing, journal, RoundsConfig(), Silent(), 1 << 20)
    with pytest.raises(FedloraError, match=r"0 of 2 clients answered.*no data"):
        asker.ask("describe", 0, messages, lambda *_: None)
    export(journal, tmp_path)
    lost = [json.loads(line) for line in (tmp_path / "lost.jsonl").read_text().splitlines()]
    assert [(line["client"], line["reason"]) for line in lost] == [(0, "boom"), (1, "no data")]

    answered = [Reply(client, encode(Message("train"))) for client in messages]
    again = Asker(Scripted(*answered), journal, RoundsConfig(), Silent(), 1 << 20)
    assert list(again.ask("describe", 0, messages, lambda *_: None)) == [0, 1]
    assert journal.lost() == []
    journal.close()


def test_bytes_on_the_wire_stand_in_each_line_and_are_counted_once(ledger):
    answered = encode(Message("train"))
    lines = ledger(
        Reply(0, answered, socket=(700, 900)),
        Reply(1, answered, tries=2, socket=(500, 400)),
        Reply(2, None, "boom", socket=(300, 200)),
        Reply(3, answered, socket=(100, 100)),
    )

    assert sum(e.socket for e in lines if e.direction == "down") == 1600
    assert sum(e.socket for e in lines if e.direction == "up") == 1600
    [lost] = [e for e in lines if e.client == 2 and e.direction == "up"]
    assert (lost.payload, lost.serialised, lost.status) == (0, 0, "lost")


class Listening(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_what_many_clients_remark_is_said_once_and_not_without_end(tmp_path):
    journal, observer = Journal(tmp_path / "journal.sqlite"), Listening()
    remarks = ["no cache", "no cache", None, 7, *(f"noise {k}" for k in range(50))]
    replies = [
        Reply(client, encode(Message("train", {}, {"remark": remark})))
        for client, remark in enumerate(remarks)
    ]
    asker = Asker(Scripted(*replies), journal, RoundsConfig(), observer, limit=1 << 20)
    messages = {reply.client: Message("train") for reply in replies}
    asker.ask("warm_start", 1, messages, lambda client, message: None)
    journal.close()
    assert observer.notes[0] == "clients say: 'no cache'"
    assert len(observer.notes) == len(set(observer.notes)) == MOST_REMARKS


def test_a_client_that_calls_itself_a_misfit_is_lost_like_any_other(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    replies = [Reply(client, None, f"does not fit the others: {client}") for client in range(2)]
    asker = Asker(Scripted(*replies), journal, RoundsConfig(), Silent(), limit=1 << 20)
    with pytest.raises(FedloraError, match="0 of 2 clients answered"):
        asker.ask("describe", 0, {c: Message("train") for c in range(2)}, lambda *_: None)
    journal.close()


def test_who_is_absent_is_asked_again_and_who_says_an_error_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora.server.asking.PAUSE", 0.0)
    answered = encode(Message("train"))
    asked = []

    class Flaky:
        """A transport over which 1 answers the third time, 2 never comes, and 3 has no data."""

        def exchange(self, requests):
            asked.append([request.client for request in requests])
            for request in requests:
                there = request.client == 0 or (request.client == 1 and len(asked) == 3)
                frame = answered if there else None
                error = "" if there else "no data" if request.client == 3 else "gone"
                yield Reply(request.client, frame, error, 1, (10, 1), absent=error == "gone")

    def ask(retries):
        asked.clear()
        journal = Journal(tmp_path / f"{retries}.sqlite")
        rounds = RoundsConfig(min_answers=0.1)
        asker = Asker(Flaky(), journal, rounds, Silent(), limit=1 << 20, retries=retries)
        good = asker.ask("describe", 0, {c: Message("train") for c in range(4)}, lambda *_: None)
        lines = [Entry.from_line(line) for line in journal.lines("ledger")]
        journal.close()
        return list(good), lines

    assert ask(0)[0] == [0]
    assert asked == [[0, 1, 2, 3]]
    good, lines = ask(2)
    assert good == [0, 1]
    assert asked == [[0, 1, 2, 3], [1, 2], [1, 2]]
    down = [(e.client, e.status, e.socket) for e in lines if e.direction == "down"]
    assert sorted(down) == [
        (0, "ok", 10), (1, "lost", 10), (1, "lost", 10), (1, "ok", 10),
        (2, "lost", 10), (2, "lost", 10), (2, "ok", 10), (3, "ok", 10),
    ]  # fmt: skip
    assert by_purpose(lines)["retries"]["down"]["messages"] == 4


def test_a_reason_that_many_clients_give_is_told_once_and_counted(tmp_path):
    journal, observer = Journal(tmp_path / "journal.sqlite"), Listening()
    said = ["no data", "no data", "", "it rains", "no data"]
    replies = [
        Reply(client, None, reason) if reason else Reply(client, encode(Message("train")))
        for client, reason in enumerate(said)
    ]
    rounds = RoundsConfig(min_answers=0.1)
    asker = Asker(Scripted(*replies), journal, rounds, observer, limit=1 << 20)
    asker.ask("describe", 0, {c: Message("train") for c in range(5)}, lambda *_: None)
    journal.close()
    assert observer.notes == [
        "describe: client 0 lost: no data",
        "describe: client 3 lost: it rains",
        "describe: 2 more lost: no data",
    ]


def test_what_all_clients_say_is_what_stops_the_run(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    replies = [Reply(client, None, "lora.targets: none of them") for client in range(3)]
    asker = Asker(Scripted(*replies), journal, RoundsConfig(), Silent(), limit=1 << 20)
    with pytest.raises(FedloraError, match=r"^lora.targets: none of them \(said by every"):
        asker.ask("describe", 0, {c: Message("train") for c in range(3)}, lambda *_: None)
    journal.close()


def test_one_answer_a_round_counts_and_only_of_those_asked(tmp_path):
    class Eager:
        """A transport over which a client answers again, and one that nobody asked answers too."""

        def exchange(self, requests):
            for request in requests:
                yield Reply(request.client, encode(Message("train", {}, {"turn": 1})))
                yield Reply(request.client, encode(Message("train", {}, {"turn": 2})))
                yield Reply(request.client, None, "boom")
            yield Reply(7, encode(Message("train")))

    journal = Journal(tmp_path / "journal.sqlite")
    asker = Asker(Eager(), journal, RoundsConfig(), Silent(), 1 << 20)
    answers = asker.ask("warm_start", 1, {c: Message("train") for c in (0, 1)}, lambda *_: None)

    assert {client: answer.meta for client, answer in answers.items()} == {
        0: {"turn": 1},
        1: {"turn": 1},
    }
    entries = [Entry.from_line(line) for line in journal.lines("ledger")]
    assert sorted((e.client, e.direction) for e in entries) == [
        (c, d) for c in (0, 1) for d in ("down", "up")
    ]
    journal.close()
