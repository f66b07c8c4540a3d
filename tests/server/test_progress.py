"""How far a run is, told by its journal."""

from pathlib import Path

from fedlora.phases import PHASES
from fedlora.server.journal import Answer, Journal
from fedlora.server.progress import progress


def test_the_latest_phase_is_that_of_the_story(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "checkpoints" / "journal.sqlite")
    for phase in PHASES:
        journal.record(phase, 1, 0, Answer(b"frame", ""), [], None)
        assert progress(tmp_path).phase == phase
    journal.close()
    assert PHASES.index("warm_start") < PHASES.index("growth") < PHASES.index("finetune")
