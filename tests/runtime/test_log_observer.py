import logging

import pytest

from fedlora.runtime.log_observer import MARK, LogObserver, Retelling
from fedlora.server.observer import Observer


class Kept:
    def __init__(self) -> None:
        self.phases: list[list] = []
        self.notes: list[str] = []

    def phase(self, title, total):
        self.phases.append([title, 0, total])

    def advance(self, steps=1):
        self.phases[-1][1] += steps

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def lines():
    class Keeping(logging.Handler):
        def emit(self, record):
            kept.append(record.getMessage())

    kept: list[str] = []
    log, handler = logging.getLogger("flwr"), Keeping()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield kept
    log.setLevel(level)
    log.removeHandler(handler)


def story(observer: Observer) -> None:
    for title, total in (("warm start 1 of 2", 3), ("fine-tune", 2), ("fine-tune", 2), ("none", 0)):
        observer.phase(title, total)
        observer.note(f"lost: one of {total}: 3 of 4 had no data")
        for _ in range(total):
            observer.advance()
    observer.phase("stopped", 5)
    observer.advance(2)


def test_a_log_tells_another_process_what_happened(lines, monkeypatch):
    monkeypatch.setattr("fedlora.runtime.log_observer._EVERY", 0.0)
    there, here = Kept(), Kept()
    story(LogObserver())
    story(there)
    retelling = Retelling(here)
    for line in lines:
        retelling(line.removeprefix(MARK))
    assert here.phases == there.phases
    assert here.notes == there.notes


def test_steps_that_a_log_left_out_are_made_up_for(lines):
    here = Kept()
    observer = LogObserver()
    observer.phase("fine-tune", 100)
    for _ in range(100):
        observer.advance()
    assert len(lines) < 100
    retelling = Retelling(here)
    for line in lines:
        retelling(line.removeprefix(MARK))
    assert here.phases[-1] == ["fine-tune", 100, 100]
