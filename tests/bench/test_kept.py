"""A bench that was interrupted finds what it had measured."""

from fedlora.bench import kept
from fedlora.bench.kept import Kept
from fedlora.bench.sim.measured import Measured
from fedlora.bench.sim.outcome import Outcome


def test_what_was_measured_before_an_interruption_is_read_back(tmp_path):
    outcome = Outcome(
        3.5, {"tiny": {"plain": Measured(8, 1)}}, {"x: y": "no room"}, {"batched": True}
    )
    parts = Kept(tmp_path / "kept", Outcome)

    assert parts.get("one") is None
    parts.put("one", outcome)
    assert Kept(tmp_path / "kept", Outcome).get("one") == outcome
    (tmp_path / "kept" / "one.json").write_text("{")
    assert parts.get("one") is None
    parts.clear()
    assert not (tmp_path / "kept").exists()


def test_only_what_is_committed_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    found = []
    for commit in ("a" * 40, "a" * 40 + "+", "unknown"):
        monkeypatch.setattr(kept, "this_commit", lambda commit=commit: commit)
        parts = Kept.of_bench("mine", dict[str, float])
        parts.put("one", {"seconds": 1.5})
        found.append(parts.get("one"))

    assert found == [{"seconds": 1.5}, None, None]
    assert [file.parent.name for file in tmp_path.rglob("one.json")] == ["a" * 12]
