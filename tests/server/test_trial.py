"""The bank's own trial, against every method fitted by hand without a task."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.errors import FedloraError
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.generators.ridge import Ridge, RidgeConfig
from fedlora.server.context import ServerContext
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.trial import hold_trial
from tests.conftest import small_config
from tests.generators.linear_family import linear_family
from tests.server.test_federation import live

FAMILY = linear_family(tasks=8)
BANK = FAMILY.bank
AMONG = ["mean", "nearest", "ridge"]


class Noted(Silent):
    """Keeps what a person should read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def context(folder: Path, journal: Journal, **policy: Any) -> ServerContext:
    """As much of a server as a trial needs."""
    config = small_config(
        adoption={"policy": {"name": "chosen", "among": AMONG, **policy}},
        evaluation={"baselines": [{"name": name} for name in ("mean", "nearest", "ridge")]},
    )
    made = SimpleNamespace(
        config=config,
        seed=0,
        folder=folder,
        journal=journal,
        observer=Noted(),
        seen_by=lambda _, vectors: vectors,
    )
    return cast(ServerContext, made)


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "trial.json").read_text())
    return found


def test_each_task_is_foretold_from_the_others_and_the_best_method_serves(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal, folds=8)

    assert hold_trial(here, BANK) == "ridge"

    found = told(tmp_path)["errors"]
    assert list(found) == AMONG
    assert all(set(errors) == set(BANK.tasks) for errors in found.values())
    for task in ("task-00", "task-05"):
        rows = [row for row, name in enumerate(BANK.tasks) if name == task]
        own = mean_delta([BANK.adapters[row] for row in rows], [0.5, 0.5], rank=8)
        alone = Ridge(RidgeConfig())
        rest = [row for row, name in enumerate(BANK.tasks) if name != task]
        alone.fit(rows_of(BANK, rest), seed=0, workdir=tmp_path, progress=lambda losses: None)
        (made,) = alone.sample(BANK.conditions[rows].mean(0, keepdim=True), seed=0)
        slow = (distance(made, own) / norm(own)) ** 2
        assert found["ridge"][task] == pytest.approx(slow, rel=1e-3)
    means = {method: sum(errors.values()) / 8 for method, errors in found.items()}
    assert means["ridge"] < means["nearest"]
    assert "chose ridge" in here.observer.notes[0]
    journal.close()


def test_folds_leave_every_task_out_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    hold_trial(context(tmp_path, journal, folds=3), BANK)
    assert all(set(e) == set(BANK.tasks) for e in told(tmp_path)["errors"].values())
    journal.close()


def test_a_trial_that_was_held_is_not_held_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal)
    hold_trial(here, BANK)
    first = told(tmp_path)
    (tmp_path / "trial.json").unlink()
    other = TrainingBank(BANK.adapters[:2], BANK.conditions[:2], BANK.tasks[:2])

    assert hold_trial(here, other) == first["chosen"]
    assert told(tmp_path) == first
    journal.close()


def test_a_method_that_cannot_learn_from_a_part_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal)
    two = TrainingBank(BANK.adapters[:4], BANK.conditions[:4], BANK.tasks[:4])

    assert hold_trial(here, two) in ("mean", "nearest")
    assert list(told(tmp_path)["errors"]) == ["mean", "nearest"]
    assert "leaves ridge out" in here.observer.notes[0]
    with pytest.raises(FedloraError, match="too small to choose by"):
        hold_trial(context(tmp_path / "b", Journal(tmp_path / "b.sqlite"), among=["ridge"]), two)
    journal.close()


def test_without_such_a_policy_there_is_no_trial(tmp_path: Path) -> None:
    here = cast(ServerContext, SimpleNamespace(config=small_config(), folder=tmp_path))
    assert hold_trial(here, BANK) is None
    assert not list(tmp_path.iterdir())


def test_newcomers_are_given_what_won(tmp_path: Path) -> None:
    policy = {"name": "chosen", "among": ["mean", "topk"], "folds": 2}
    live(small_config(adoption={"policy": policy}), tmp_path)

    won = told(tmp_path)["chosen"]
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    values = {(row["client"], row["method"]): row["value"] for row in rows}
    served = {client: value for (client, method), value in values.items() if method == "chosen"}
    assert len(served) == 2
    assert served == {client: values[client, won] for client in served}
    card = json.loads((tmp_path / "serving" / "generator.json").read_text())
    assert card["name"] == won
    assert torch.isfinite(torch.tensor(list(served.values()))).all()
