"""Runs that go on: whose files were damaged, or that somebody else is at work on."""

import hashlib
import json
from pathlib import Path

import pytest

from fedlora import atomic, run_folder
from fedlora.config import RuntimeConfig
from fedlora.errors import FedloraError
from fedlora.runtime import run as running
from fedlora.server.learning import digest
from fedlora.server.observer import Silent
from tests.conftest import small_config
from tests.evaluation.test_results import finished


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_results_that_cannot_be_read_are_compiled_again(tmp_path: Path, content: bytes):
    folder = run_folder.create_at(small_config(), finished(tmp_path / "run"))
    first = running.run(small_config(), folder, Silent())
    (folder / "results.json").write_bytes(content)

    again = running.run(run_folder.resume(folder), folder, Silent())

    assert again["bytes"] == first["bytes"]
    assert json.loads((folder / "results.json").read_text())["finished"]


@pytest.mark.parametrize("name", ["table.json", "lost.jsonl", "seconds.json"])
def test_a_damaged_part_of_a_finished_seed_is_one_line_with_the_remedy(tmp_path: Path, name: str):
    folder = run_folder.create_at(small_config(), finished(tmp_path / "run"))
    (folder / "seed-0" / name).write_text('{"metric"')

    with pytest.raises(FedloraError, match=rf"{name}: missing or damaged .*delete facts\.json"):
        running.run(small_config(), folder, Silent())


def test_a_seed_whose_generator_or_table_has_changed_since_is_lived_again(tmp_path: Path):
    seed = tmp_path / "seed-0"
    (seed / "generator").mkdir(parents=True)
    weights, table = seed / "generator" / "weights", seed / "table.json"
    weights.write_bytes(b"learned")
    table.write_bytes(b"{}")
    then = {
        "bank": "",
        "generator": digest(seed / "generator"),
        "table": hashlib.sha256(b"{}").hexdigest(),
    }
    (seed / "facts.json").write_text(json.dumps({"fingerprint": then}))
    assert running.unfinished(small_config(), tmp_path) == []

    for file in (weights, table):
        kept = file.read_bytes()
        file.write_bytes(b"changed")
        assert running.unfinished(small_config(), tmp_path) == [0]
        file.write_bytes(kept)
    (seed / "facts.json").write_text("{")
    assert running.unfinished(small_config(), tmp_path) == [0]


def test_nothing_starts_for_a_deployment_whose_run_somebody_works_on(tmp_path: Path, monkeypatch):
    config = small_config().model_copy(update={"runtime": RuntimeConfig(name="deployment")})
    monkeypatch.setattr("fedlora.runtime.deployment.run", lambda *_: pytest.fail("it started"))
    with atomic.alone(tmp_path), pytest.raises(FedloraError, match="another process works"):
        running.run(config, tmp_path, Silent())
