"""What was finished of a pack whose process died is not worked out again."""

from dataclasses import replace

import pytest

from fedlora.runtime import finished
from fedlora.runtime.pack import RequestPack
from fedlora.wire.exchange import Reply, Request

PACK = RequestPack("{}", 0, tuple(Request(client, b"q%d" % client) for client in range(7)))
TOGETHER = replace(PACK, together=2)


class Killed(BaseException):
    """As a process that ends."""


class Clients:
    """They answer in turn; `last` of them kills the process."""

    def __init__(self, last=None, failing=()):
        self.last, self.failing = last, failing
        self.asked = []

    def __call__(self, pack):
        replies = []
        for request in pack.requests:
            if request.client == self.last:
                raise Killed
            self.asked.append(request.client)
            fails = request.client in self.failing
            frame = None if fails else b"a%d%d" % (pack.seed, request.client)
            replies.append(Reply(request.client, frame, "boom" if fails else ""))
        return replies


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(finished.FOLDER, str(tmp_path / "kept"))
    return tmp_path / "kept"


def interrupted(pack, **clients):
    with pytest.raises(Killed):
        finished.answer(pack, Clients(**clients))


@pytest.mark.parametrize(("pack", "left"), [(PACK, [5, 6]), (TOGETHER, [4, 5, 6])])
def test_only_groups_that_were_not_finished_are_worked_out_again(folder, pack, left):
    interrupted(pack, last=5)
    again = Clients()

    replies = finished.answer(pack, again)

    assert again.asked == left
    assert replies == Clients()(pack)
    assert not folder.exists()


def test_a_lost_pack_that_comes_back_in_groups_finds_its_own(folder):
    interrupted(TOGETHER, last=5)
    again = Clients()
    groups = [replace(TOGETHER, requests=TOGETHER.requests[at : at + 2]) for at in range(0, 7, 2)]

    replies = [reply for group in groups for reply in finished.answer(group, again)]

    assert again.asked == [4, 5, 6]
    assert replies == Clients()(TOGETHER)
    assert not folder.exists()


@pytest.mark.parametrize("other", [{"seed": 1}, {"config": "{ }"}])
def test_what_another_run_has_finished_is_not_taken(folder, other):
    interrupted(PACK, last=5)
    again = Clients()

    finished.answer(replace(PACK, **other), again)

    assert again.asked == list(range(7))


def test_a_client_that_failed_is_asked_again(folder):
    interrupted(TOGETHER, last=5, failing=[1])
    again = Clients()

    replies = finished.answer(TOGETHER, again)

    assert again.asked == [0, 1, 4, 5, 6]
    assert all(reply.frame for reply in replies)


def test_a_file_that_is_cut_short_is_worked_out_again(folder):
    interrupted(PACK, last=5)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    again = Clients()

    assert finished.answer(PACK, again) == Clients()(PACK)
    assert again.asked == list(range(7))


def test_where_nothing_can_be_kept_all_are_answered(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(finished.FOLDER, str(tmp_path / "file" / "kept"))

    assert finished.answer(TOGETHER, Clients()) == Clients()(TOGETHER)
