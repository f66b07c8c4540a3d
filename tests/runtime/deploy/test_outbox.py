import sqlite3
from dataclasses import replace

from fedlora.runtime.deploy.outbox import Outbox
from fedlora.runtime.deploy.own import VARIABLE
from fedlora.runtime.pack import Origin, RequestPack
from fedlora.wire.exchange import Reply, Request

ASKED = RequestPack("{}", 0, (Request(3, b"train"), Request(4, b"train")), Origin("run"))


class Working:
    """Clients that count what they are asked; client 4 fails the first time."""

    def __init__(self):
        self.worked = []

    def __call__(self, requests):
        failed = 4 not in [r.client for r in self.worked]
        self.worked += requests
        return [
            Reply(r.client, None, "ValueError: no")
            if r.client == 4 and failed
            else Reply(r.client, r.frame.upper())
            for r in requests
        ]


def test_an_answer_is_worked_out_once_and_a_failure_again(tmp_path):
    working = Working()
    first = Outbox(tmp_path / "kept").answer(ASKED, working)
    second = Outbox(tmp_path / "kept").answer(ASKED, working)  # as after a kill

    assert [reply.frame for reply in first] == [b"TRAIN", None]
    assert [reply.frame for reply in second] == [b"TRAIN", b"TRAIN"]
    assert [request.client for request in working.worked] == [3, 4, 4]


def test_anything_that_an_answer_depends_on_makes_it_another(tmp_path):
    outbox = Outbox(tmp_path / "kept")
    outbox.answer(ASKED, Working())
    others = [
        replace(ASKED, config='{"a": 1}'),
        replace(ASKED, seed=1),
        replace(ASKED, origin=Origin("other run")),
        replace(ASKED, requests=(Request(3, b"other"), Request(4, b"train"))),
    ]

    for other in others:
        working = Working()
        outbox.answer(other, working)
        assert 3 in [request.client for request in working.worked]


def test_other_data_on_this_machine_makes_other_answers(tmp_path, monkeypatch):
    outbox = Outbox(tmp_path / "kept")
    outbox.answer(ASKED, Working())
    monkeypatch.setenv(VARIABLE, '{"data": {"": "/corrected.jsonl"}}')
    working = Working()
    outbox.answer(ASKED, working)

    assert 3 in [request.client for request in working.worked]


def test_a_clients_next_question_lets_its_older_answers_go_and_nobody_elses(tmp_path):
    outbox, working = Outbox(tmp_path / "kept"), Working()
    outbox.answer(ASKED, working)
    outbox.answer(ASKED, working)
    outbox.answer(replace(ASKED, requests=(Request(3, b"next"),)), working)

    with sqlite3.connect(tmp_path / "kept") as db:
        kept = db.execute("select client, frame from kept order by client").fetchall()
    assert kept == [(3, b"NEXT"), (4, b"TRAIN")]


def test_what_cannot_be_kept_is_answered_all_the_same(tmp_path):
    (tmp_path / "kept").mkdir()  # no database can be here

    replies = Outbox(tmp_path / "kept").answer(ASKED, Working())
    assert replies[0].frame == b"TRAIN"
