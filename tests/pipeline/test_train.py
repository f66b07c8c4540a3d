"""Adapters of several ranks, trained step by step into one bank."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedlora.client.client import Client
from fedlora.config import GeneratorPart
from fedlora.errors import FedloraError
from fedlora.finetune.local import put
from fedlora.finetune.trainer import Trainer
from fedlora.generators.saved import load_generator
from fedlora.pipeline import train
from fedlora.pipeline.learn import train_generator
from fedlora.pipeline.workshop import Workshop
from fedlora.server.observer import Silent
from tests.pipeline.small import workshop, workshop_config


class KilledError(Exception):
    """What a test throws in place of a kill."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = workshop(tmp_path_factory.mktemp("trained"))
    train.train_adapters(made, [1, 2], [], Silent())
    return made


def test_the_last_checkpoints_of_every_task_and_rank_are_in_the_bank(trained: Workshop):
    records = trained.bank().records()

    assert {(r.rank, r.sample) for r in records} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    assert len(records) == 4 * 2 * 2
    assert all({"loss", "accuracy"} <= set(record.metrics) for record in records)


def test_an_adapter_in_the_bank_scores_what_its_record_says(trained: Workshop):
    record = trained.bank().records()[-1]
    client = Client(trained.config.with_rank(record.rank), trained.seed)
    desk = client.desk(record.client)

    put(desk.objective, trained.bank().load(record.digest))

    assert desk.objective.score(desk.validation) == pytest.approx(record.metrics)


def killed_after(jobs: int) -> Callable[..., object]:
    honest, done = Trainer.train, []

    def train_jobs(self: Trainer, ordered: list[object]) -> object:
        if len(done) >= jobs:
            raise KilledError
        done.extend(ordered)
        return honest(self, ordered)  # type: ignore[arg-type]

    return train_jobs


@pytest.mark.parametrize("jobs", [2, 6])  # in the warm start, and among the adapters
def test_a_killed_call_goes_on_where_it_was(
    trained: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
):
    made = workshop(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train", killed_after(jobs))
        with pytest.raises(KilledError):
            train.train_adapters(made, [1], [], Silent())
    kept = len(made.bank().records()) if (tmp_path / "bank").exists() else 0

    again = train.train_adapters(made, [1], [], Silent())

    assert kept == max(0, jobs - 4) * 2
    whole = [record.digest for record in trained.bank().records() if record.rank == 1]
    assert [record.digest for record in again.records()] == whole


def test_a_held_out_task_is_trained_when_it_is_named(trained: Workshop, tmp_path: Path):
    (newcomer,) = trained.config.tasks.build().names().held_out
    made = workshop(tmp_path, warm_start={"rounds": 0})

    bank = train.train_adapters(made, [1], [newcomer], Silent())

    assert {record.task for record in bank.records()} == {newcomer}


def test_a_generator_learns_from_one_rank_and_is_found_without_its_name(trained: Workshop):
    learned = train_generator(trained, trained.config.generator, 2, Silent())
    vector = trained.bank().vector(trained.bank().records()[0])

    (adapter,) = load_generator(trained.generator_folder).sample(vector.unsqueeze(0), seed=0)

    assert (learned.tasks, learned.adapters) == (4, 8)
    assert {layer.rank for layer in adapter.spec.layers} == {2}
    assert learned.adapter_bytes == 4 * adapter.spec.size
    assert bool(torch.isfinite(adapter.flatten()).all())


def test_a_posterior_that_collapsed_is_told(trained: Workshop):
    told: list[str] = []
    watching = Silent()
    watching.note = told.append  # type: ignore[method-assign]
    network = {"kl_weight": 100.0, "kl_warm_up": 0.0, "prior": "standard"}
    options = {"name": "cvae", "network": network, "training": {"epochs": 60}}

    train_generator(trained, GeneratorPart.model_validate(options), 2, watching)

    assert len(told) == 1
    assert "posterior has collapsed" in told[0]


def test_what_cannot_be_trained_is_said_before_any_training(tmp_path: Path):
    made = workshop(tmp_path)
    with pytest.raises(FedloraError, match="no task 'rotation=7'"):
        train.train_adapters(made, [1], ["rotation=7"], Silent())
    with pytest.raises(FedloraError, match="at least 1"):
        train.train_adapters(made, [0], [], Silent())
    few = workshop(tmp_path / "few", warm_start={"rounds": 1, "clients_per_round": 2})
    with pytest.raises(FedloraError, match="clients_per_round"):
        train.train_adapters(few, [1], [], Silent())
    assert not (tmp_path / "bank").exists()


def test_a_folder_keeps_to_its_configuration(tmp_path: Path):
    made = workshop(tmp_path)
    assert Workshop.begin(workshop_config(), tmp_path) == made == Workshop.open(tmp_path)

    with pytest.raises(FedloraError, match="another configuration"):
        Workshop.begin(workshop_config(seeds=(3,)), tmp_path)
    with pytest.raises(FedloraError, match="not a folder of the pipeline"):
        Workshop.open(tmp_path / "nowhere")
    with pytest.raises(FedloraError, match="no bank"):
        made.bank()
    with pytest.raises(FedloraError, match="no generator yet"):
        load_generator(made.generator_folder)
