import json
import math

import pytest

from fedlora.errors import FedloraError
from fedlora.results import Claim, claims_table, read, read_all, this_commit, write_results


def gap(value: float, sense: str = ">=", target: float = 0.8) -> Claim:
    return Claim(
        id="M1", what="share of the gap", value=value, low=value, high=value,
        unit="", sense=sense, target=target,
    )  # fmt: skip


def write(path, **changes):
    given = {
        "bench": "main", "command": "fedlora bench main", "rows": [{"method": "base", "gap": 0.0}],
        "claims": [gap(0.9)], "seeds": [0, 1], "seconds": 12.34,
    }  # fmt: skip
    return write_results(path, **{**given, **changes})


def test_what_is_written_is_read_back_with_commit_and_machine(tmp_path):
    path = tmp_path / "main.json"

    written = write(path)

    assert read(path) == written
    assert set(json.loads(path.read_text())) == {
        "bench", "command", "commit", "machine", "seconds", "seeds", "rows", "claims", "parts",
    }  # fmt: skip
    assert written.commit == this_commit()
    assert written.machine.cores >= 1
    assert written.machine.memory > 2**28


@pytest.mark.parametrize(
    ("value", "sense", "target", "met"),
    [
        (0.8, ">=", 0.8, True), (0.79, ">=", 0.8, False),
        (600.0, "<=", 600.0, True), (600.1, "<=", 600.0, False),
        (0.0, "==", 0.0, True), (1e-12, "==", 0.0, False),
    ],
)  # fmt: skip
def test_a_claim_is_met_by_its_value_and_sense_alone(value, sense, target, met):
    assert gap(value, sense, target).met is met


@pytest.mark.parametrize(
    ("sense", "low", "high", "met"),
    [
        (">=", 0.01, 0.9, True), (">=", -0.01, 0.9, False),
        ("<=", -0.9, -0.01, True), ("<=", -0.9, 0.01, False), (">=", None, None, False),
    ],
)  # fmt: skip
def test_a_sure_claim_is_met_by_the_whole_of_its_interval(sense, low, high, met):
    value = {">=": 0.4, "<=": -0.4}[sense]
    claim = Claim(
        id="X", what="", value=value, low=low, high=high, sense=sense, target=0.0, surely=True
    )
    assert claim.met is met
    assert claim.model_copy(update={"surely": False}).met
    assert claim.wanted.startswith("surely at")


def test_a_missed_claim_stays_in_the_table(tmp_path):
    write(tmp_path / "b.json", bench="b", claims=[gap(0.5), gap(0.95)])
    write(tmp_path / "a.json", bench="a", claims=[])

    table = claims_table(read_all(tmp_path))

    assert [(row["bench"], row["id"], row["value"], row["met"]) for row in table] == [
        ("b", "M1", 0.5, False), ("b", "M1", 0.95, True),
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_a_number_is_refused_and_the_old_file_stays(tmp_path, bad):
    path = tmp_path / "main.json"
    before = write(path)

    with pytest.raises(FedloraError, match=r"main\.json: rows\.0\.gap"):
        write(path, rows=[{"gap": bad}])

    assert read(path) == before


@pytest.mark.parametrize("text", ["", "{}", '{"bench": 3}', "[]"])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    (tmp_path / "sim.json").write_text(text)

    with pytest.raises(FedloraError, match=r"sim\.json"):
        read_all(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FedloraError, match=r"main\.json: no such results"):
        read(tmp_path / "main.json")


def test_a_checkout_that_moves_on_does_not_change_what_was_measured(monkeypatch):
    begun = this_commit()
    monkeypatch.setattr("fedlora.results._git", lambda *_: "another")

    assert this_commit() == begun
