"""A bench whose parts are measured one by one."""

from pathlib import Path

import pytest

from fedlora import results
from fedlora.bench import by_parts as bench
from fedlora.bench.by_parts import Found, by_parts
from fedlora.bench.kept import Kept
from fedlora.errors import FedloraError
from fedlora.results import BenchResults, Claim

SEEDS = (0, 1)


class Measured:
    """Two parts with a value each; what was measured, by which code."""

    def __init__(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.values, self.commit = out, {"one": 1.0, "two": 2.0}, "a" * 40
        self.kept: Kept[object] = Kept(None, dict)
        monkeypatch.setattr(bench, "this_commit", lambda: self.commit)
        monkeypatch.setattr(results, "this_commit", lambda: self.commit)

    def __call__(
        self, *only: str, seeds: tuple[int, ...] = SEEDS, options: str = ""
    ) -> BenchResults:
        names = list(self.values)
        made = by_parts(
            self.out, "any", names, only, self.measure, seeds, self.kept, options, self.together
        )
        assert results.read(self.out) == made
        return made

    def measure(self, name: str) -> Found:
        value = self.values[name]
        return [{"value": value}], [Claim(id="X1", what=name, value=value, sense="<=", target=1.0)]

    def together(self, rows: dict[str, list[dict[str, float]]]) -> Found:
        return [{"sum": sum(row["value"] for own in rows.values() for row in own)}], []


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    return Measured(tmp_path / "any.json", monkeypatch)


def values(made: BenchResults) -> list[float | None]:
    return [claim.value for claim in made.claims]


def test_a_part_measured_alone_leaves_the_others(measured: Measured):
    alone = measured("two")
    assert (alone.command, values(alone)) == ("fedlora bench any --only two", [2.0])
    measured.values["one"] = 0.5
    both = measured("one")
    assert (both.command, values(both)) == ("make bench-any", [0.5, 2.0])
    assert both.rows == (
        {"part": "one", "value": 0.5},
        {"part": "two", "value": 2.0},
        {"sum": 2.5},
    )
    measured.values["two"] = 3.0
    assert values(measured("two")) == [0.5, 3.0]
    assert values(measured()) == [0.5, 3.0]


def test_parts_of_different_code_say_of_which(measured: Measured):
    measured()
    measured.commit = "b" * 40
    made = measured("two")
    assert made.command == "fedlora bench any --only one --only two"
    assert [(part.name, part.commit[0]) for part in made.parts] == [("one", "a"), ("two", "b")]
    measured.commit = "b" * 40 + "+"  # of changed code nobody knows what it was
    assert values(measured("one")) == [1.0, 2.0]
    assert [part.name for part in measured("two").parts] == ["two"]


def test_parts_of_other_seeds_or_machines_do_not_stay(measured: Measured, monkeypatch):
    measured()
    told = measured("one", seeds=(0,), options="--seeds 1")
    assert (told.command, values(told)) == ("fedlora bench any --only one --seeds 1", [1.0])
    measured()
    here = results.this_machine()
    again = here.model_copy(update={"memory": here.memory + 2**20})  # after another start
    for other, there in ((again, [1.0, 2.0]), (here.model_copy(update={"cores": 1000}), [2.0])):
        monkeypatch.setattr(bench, "this_machine", lambda other=other: other)
        assert values(measured("two")) == there


def test_a_file_that_does_not_know_its_parts_is_not_written_over(measured: Measured):
    claim = Claim(id="X1", what="of old", value=1.0, sense="<=", target=1.0)
    results.write_results(measured.out, "any", "make bench-any", [], [claim], SEEDS, 1.0)
    with pytest.raises(FedloraError, match="which part is whose"):
        measured("two")
    assert results.read(measured.out).claims == (claim,)
    assert values(measured()) == [1.0, 2.0]


def test_seconds_before_an_interruption_count(measured: Measured, monkeypatch, tmp_path: Path):
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "one.seconds").write_text("1000.0")
    measured.kept = Kept(folder, dict)

    def timed(name: str) -> Found:
        with measured.kept.clock(name) as tick:
            tick()
        return [], []

    monkeypatch.setattr(measured, "measure", timed)
    one, two = measured("one", "two").parts
    assert 1000 <= one.seconds < 1100
    assert two.seconds < 100
    assert float((folder / "one.seconds").read_text()) >= 1000


def test_an_unknown_part_is_refused_before_anything_is_measured(measured: Measured):
    with pytest.raises(FedloraError, match="did you mean 'two'"):
        measured("one", "tow")
    assert not measured.out.exists()
