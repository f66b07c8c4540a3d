"""The bank's own trial, against every method fitted by hand without a task."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.adoption.contract import Offer, Score
from fedlora.adoption.label_mix import LabelMix, LabelMixConfig
from fedlora.cli.bytes_plan import BytesPlan
from fedlora.client.client import Client
from fedlora.config import GeneratorPart, RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.generators.ridge import Ridge, RidgeConfig
from fedlora.server.context import ServerContext
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.trial import hold_trial
from fedlora.wire.codecs.none import Uncoded as Codec
from fedlora.wire.message import Message, encode
from tests.conftest import small_config
from tests.generators.linear_family import linear_family
from tests.server.test_federation import live

FAMILY = linear_family(tasks=8)
BANK = replace(FAMILY.bank, clients=range(len(FAMILY.bank.adapters)))
AMONG = ["mean", "nearest", "ridge"]


class Noted(Silent):
    """Keeps what a person should read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Judge:
    """Clients who are as accurate as an adapter lies near to the one that they trained."""

    def __init__(self, liars: Sequence[int] = (), bank: TrainingBank = BANK) -> None:
        self.liars, self.bank, self.asked = liars, bank, dict[int, Message]()

    def ask(
        self, phase: str, _round: int, messages: dict[int, Message], check: Any
    ) -> dict[int, Message]:
        assert phase == "trial"
        self.asked |= messages
        answers = {client: self._answer(client, m) for client, m in messages.items()}
        for client, answer in answers.items():
            check(client, answer)
        return answers

    def _answer(self, client: int, message: Message) -> Message:
        own = self.bank.adapters[client]
        away = {
            name.removeprefix("adapter."): distance(adapter_of(tensor, own.spec), own) / norm(own)
            for name, tensor in message.tensors.items()
        }
        if client in self.liars:
            away = {name: 1.0 if name == "ridge" else 0.0 for name in away}
        if "distances" in message.meta:
            mixed = LabelMix(LabelMixConfig()).choose(self._offer(message, own), Own(own))
            away = {name: far for name, far in away.items() if not name.startswith("near")}
            away["label_mix"] = distance(mixed, own) / norm(own)
        values = {
            name: {"accuracy": max(1 - far, 0.0)} for name, far in {**away, "base": 1.0}.items()
        }
        return Message("control", {}, {"task": self.bank.tasks[client], "values": values})

    def _offer(self, message: Message, own: LoraAdapter) -> Offer:
        distances = dict(message.meta["distances"])
        sent = {name: message.tensors[f"adapter.{name}"] for name in distances}
        return Offer(
            {name: adapter_of(tensor, own.spec) for name, tensor in sent.items()}, distances
        )


class Own:
    """Labels on which an adapter's loss is how far it lies from one's own."""

    examples = 8

    def __init__(self, own: LoraAdapter) -> None:
        self.own = own

    def score(self, adapter: LoraAdapter, rows: torch.Tensor | None = None) -> Score:
        return Score(0.0, distance(adapter, self.own) / norm(self.own))

    def refine(self, adapter: LoraAdapter, parts: Sequence[torch.Tensor]) -> list[LoraAdapter]:
        raise AssertionError("a trial tries what is served, and trains nothing")


def adapter_of(tensor: torch.Tensor, spec: AdapterSpec) -> LoraAdapter:
    return Codec(Codec.Config()).decode(tensor, spec)


def context(
    folder: Path, journal: Journal, judge: Judge | None = None, **policy: Any
) -> ServerContext:
    """As much of a server as a trial needs; each sample of the bank is a client's own."""
    config = small_config(
        adoption={"policy": {"name": "chosen", "among": AMONG, **policy}},
        evaluation={"baselines": [{"name": name} for name in ("mean", "nearest", "ridge")]},
        growth={"rounds": 1},
        generator={"name": "topk"},
    )
    codec = Codec(Codec.Config())

    def message(
        purpose: Any, action: str, adapters: dict[str, LoraAdapter], **meta: Any
    ) -> Message:
        tensors = {f"adapter.{name}": codec.encode(a) for name, a in adapters.items()}
        return Message(purpose, tensors, {"action": action, **meta})

    made = SimpleNamespace(
        config=config,
        seed=0,
        profile=None,
        folder=folder,
        journal=journal,
        observer=Noted(),
        asker=judge or Judge(),
        spec=BANK.adapters[0].spec,
        rank=lambda _: max(layer.rank for layer in BANK.adapters[0].spec.layers),
        message=message,
        check_task=lambda client, answer: None,
        seen_by=lambda _, vectors: vectors,
    )
    return cast(ServerContext, made)


def told(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "trial.json").read_text())
    return found


def test_each_task_is_tried_without_it_and_the_best_method_serves(tmp_path: Path) -> None:
    journal, judge = Journal(tmp_path / "journal.sqlite"), Judge()
    here = context(tmp_path, journal, judge, folds=8)

    assert hold_trial(here, BANK) == "ridge"

    found = told(tmp_path)["errors"]
    assert list(found) == AMONG
    assert all(set(errors) == set(BANK.tasks) for errors in found.values())
    assert {message.meta["action"] for message in judge.asked.values()} == {"try"}
    for task in ("task-00", "task-05"):
        rows = [row for row, name in enumerate(BANK.tasks) if name == task]
        alone = Ridge(RidgeConfig())
        rest = [row for row, name in enumerate(BANK.tasks) if name != task]
        alone.fit(rows_of(BANK, rest), seed=0, workdir=tmp_path, progress=lambda losses: None)
        (made,) = alone.sample(BANK.conditions[rows].mean(0, keepdim=True), seed=0)
        slow = [distance(made, BANK.adapters[row]) / norm(BANK.adapters[row]) for row in rows]
        assert found["ridge"][task] == pytest.approx(median(slow) - 1.0, rel=1e-3)
    tasks = sorted(set(BANK.tasks))
    usual = {task: sum(own[task] for own in found.values()) / 3 for task in tasks}
    for method, own in found.items():
        middle = sorted(own[task] - usual[task] for task in tasks)[2:-2]
        assert told(tmp_path)["apart"][method] == pytest.approx(sum(middle) / 4)
    assert "chose ridge" in here.observer.notes[0]
    journal.close()


def test_a_few_clients_that_lie_decide_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    lying = [row for row, task in enumerate(BANK.tasks) if task in ("task-01", "task-04")]
    assert hold_trial(context(tmp_path, journal, Judge(lying)), BANK) == "ridge"
    journal.close()


def test_one_liar_does_not_decide_its_task(tmp_path: Path) -> None:
    family = linear_family(tasks=8, samples=3)
    bank = replace(family.bank, clients=range(len(family.bank.adapters)))
    everywhere = [bank.tasks.index(task) for task in dict.fromkeys(bank.tasks)]
    journal = Journal(tmp_path / "journal.sqlite")
    judge = Judge(everywhere, bank)
    assert hold_trial(context(tmp_path, journal, judge), bank) == "ridge"
    assert all(error < 1 for error in told(tmp_path)["errors"]["ridge"].values())
    journal.close()


@pytest.mark.parametrize("value", [None, "x", float("nan"), float("inf"), -0.1, 1.1, True])
def test_an_accuracy_that_is_none_is_refused(tmp_path: Path, value: object) -> None:
    class Careless(Judge):
        def _answer(self, client: int, message: Message) -> Message:
            answer = super()._answer(client, message)
            values = {**answer.meta["values"], "ridge": {"accuracy": value}}
            return replace(answer, meta={**answer.meta, "values": values})

    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(FedloraError, match="answer whose accuracy is"):
        hold_trial(context(tmp_path, journal, Careless()), BANK)
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

    assert hold_trial(here, rows_of(BANK, [0, 1])) == first["chosen"]
    assert told(tmp_path) == first
    journal.close()


def test_a_method_that_cannot_learn_from_a_part_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal)
    two = rows_of(BANK, range(4))

    assert hold_trial(here, two) in ("mean", "nearest")
    assert list(told(tmp_path)["errors"]) == ["mean", "nearest"]
    assert "leaves ridge out" in here.observer.notes[0]
    journal.close()


@pytest.mark.parametrize(
    ("among", "tasks", "serves", "said"),
    [
        (["ridge", "mean"], 1, "ridge", ["the bank is too small to choose by; ridge serves"]),
        (["mean"], 8, "mean", []),
    ],
)
def test_where_there_is_no_choice_nobody_is_asked(
    tmp_path: Path, among: list[str], tasks: int, serves: str, said: list[str]
) -> None:
    journal, judge = Journal(tmp_path / "journal.sqlite"), Judge()
    here = context(tmp_path, journal, judge, among=among)
    few = [row for row, task in enumerate(BANK.tasks) if task in sorted(set(BANK.tasks))[:tasks]]
    assert hold_trial(here, rows_of(BANK, few)) == serves
    assert not judge.asked
    assert cast(Noted, here.observer).notes == said
    journal.close()


def test_a_large_bank_asks_a_few_of_its_clients(tmp_path: Path) -> None:
    journal, judge = Journal(tmp_path / "journal.sqlite"), Judge()
    assert hold_trial(context(tmp_path, journal, judge, clients=5), BANK) == "ridge"
    assert len(judge.asked) == 5
    tasks = {BANK.tasks[client] for client in judge.asked}
    assert {frozenset(own) for own in told(tmp_path)["errors"].values()} == {frozenset(tasks)}
    journal.close()


def test_what_has_grown_is_tried_on_what_it_grew_from(tmp_path: Path) -> None:
    """The adapters of the bank say nothing here, the sums of changes all."""
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal, among=["ridge", "grown"])
    plain = GeneratorPart.model_validate({"name": "kriging", "noise": 0.3})
    growth = here.config.growth.model_copy(update={"generator": plain})
    vars(here)["config"] = here.config.model_copy(update={"growth": growth})
    muddled = replace(BANK, conditions=BANK.conditions.roll(6, 0))
    assert hold_trial(here, muddled, BANK) == "grown"
    errors = told(tmp_path)["errors"]
    assert median(errors["grown"].values()) < median(errors["ridge"].values()) - 0.2
    journal.close()


def test_what_deltas_taught_is_not_tried_by_a_fit_that_they_never_made(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    here = context(tmp_path, journal, among=["ridge", "mean", "grown"])
    growth = here.config.growth.model_copy(
        update={"generator": GeneratorPart.model_validate({"name": "hypernetwork"})}
    )
    vars(here)["config"] = here.config.model_copy(update={"growth": growth})
    assert hold_trial(here, BANK, BANK) == "ridge"
    assert list(told(tmp_path)["errors"]) == ["ridge", "mean"]
    assert "leaves grown out" in cast(Noted, here.observer).notes[0]
    journal.close()


def test_a_mix_by_labels_is_tried_on_tasks_that_its_parts_have_not_seen(tmp_path: Path) -> None:
    journal, judge = Journal(tmp_path / "journal.sqlite"), Judge()
    here = context(tmp_path, journal, judge, among=["mean"], mix=True, folds=8)

    served = hold_trial(here, BANK)

    errors = told(tmp_path)["errors"]
    assert list(errors) == ["mean", "generated", "label_mix"]
    assert served == "label_mix"
    for client, message in judge.asked.items():
        own = BANK.adapters[client].spec
        near = {n: t for n, t in message.tensors.items() if n.startswith("adapter.near")}
        assert len(near) == 7  # of 8 tasks, one is left out
        assert message.meta["distances"].keys() == {
            *(name.removeprefix("adapter.") for name in near),
            "generated",
        }
        same = [row for row, task in enumerate(BANK.tasks) if task == BANK.tasks[client]]
        copies = [
            distance(adapter_of(tensor, own), BANK.adapters[row])
            for tensor in near.values()
            for row in same
        ]
        assert min(copies) > 1e-3
    journal.close()


def test_one_method_and_a_mix_of_it_are_a_choice(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    hold_trial(context(tmp_path, journal, among=["generated"], mix=True), BANK)
    assert list(told(tmp_path)["errors"]) == ["generated", "label_mix"]
    journal.close()


def test_without_such_a_policy_there_is_no_trial(tmp_path: Path) -> None:
    here = cast(ServerContext, SimpleNamespace(config=small_config(), folder=tmp_path))
    assert hold_trial(here, BANK) is None
    assert not list(tmp_path.iterdir())


def planned(config: RunConfig) -> int:
    client = Client(config, 0)
    ranks = [seat.rank for seat in client.seats if seat.role == "bank"]
    return BytesPlan(config, ranks, 2, client.slot.spec).training()


def test_a_client_mixes_nothing_in_a_run_that_tries_no_mix() -> None:
    config = small_config(adoption={"policy": {"name": "chosen"}})
    asked = encode(Message("adapter", {}, {"action": "try", "distances": {}}))
    with pytest.raises(FedloraError, match="the run's trial mixes none"):
        Client(config, 0).handle(0, asked)


def test_a_client_tries_nothing_in_a_run_without_a_trial() -> None:
    asked = encode(Message("adapter", {}, {"action": "try"}))
    with pytest.raises(FedloraError, match="adoption holds no trial"):
        Client(small_config(), 0).handle(0, asked)


def test_a_trial_and_privacy_exclude_each_other() -> None:
    privacy = {"examples": {"epsilon": 8.0}}
    policy = {"adoption": {"policy": {"name": "chosen", "among": ["generated"]}}}
    with pytest.raises(FedloraError, match="what clients say of methods is not covered"):
        small_config(**policy, privacy=privacy)
    assert not small_config(adoption=None, privacy=privacy).tried
    refined = small_config(adoption={"policy": None, "refine": "gated"}, privacy=privacy)
    assert (refined.adoption.policy.name, refined.adoption.refine) == ("given", "gated")


def test_by_default_all_that_a_run_learns_is_tried() -> None:
    assert small_config(adoption=None).tried == ("mean", "topk", "generated")
    grown = small_config(adoption=None, growth={"rounds": 1})
    assert grown.tried == ("mean", "topk", "generated", "grown")


def test_what_is_not_learned_cannot_be_tried() -> None:
    policy = {"name": "chosen", "among": ["mean", "grown"]}
    with pytest.raises(
        FedloraError, match="among: 'grown' is nothing that this run learns; choose"
    ):
        small_config(adoption={"policy": policy})


def test_newcomers_are_given_what_won(tmp_path: Path) -> None:
    policy = {"name": "chosen", "among": ["mean", "topk"], "folds": 2}
    chosen = small_config(adoption={"policy": policy})
    live(chosen, tmp_path)

    won = told(tmp_path)["chosen"]
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    tried = [line for line in map(json.loads, lines) if line["phase"] == "trial"]
    sent = sum(line["payload"] for line in tried if line["direction"] == "down")
    assert sent == planned(chosen) - planned(small_config()) > 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    values = {(row["client"], row["method"]): row["value"] for row in rows}
    served = {client: value for (client, method), value in values.items() if method == "chosen"}
    assert len(served) == 2
    assert served == {client: values[client, won] for client in served}
    card = json.loads((tmp_path / "serving" / won / "generator.json").read_text())
    assert card["name"] == won
    assert torch.isfinite(torch.tensor(list(served.values()))).all()
