"""Who comes after a run is offered what its own newcomers were, and makes the same of it."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.adapter.resize import resize
from fedlora.backbone import open_slot
from fedlora.bank import Bank
from fedlora.bank.naming import folder_name
from fedlora.client import newcomer as newcomers
from fedlora.client.client import Client
from fedlora.client.own_task import OwnTask
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.saved import load_generator
from fedlora.pipeline.experiment.infer import Maker
from fedlora.runtime.inprocess import InProcess
from fedlora.server import trial
from fedlora.server.in_service import open_service, policy_in_service
from fedlora.server.standing import Standing
from fedlora.wire.exchange import Reply, Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config
from tests.server.test_federation import live

NEWCOMER = 6
"""The client of the one held-out task."""
CVAE = {"name": "cvae", "spread": 1.0, "training": {"epochs": 20}}
GROWTH = {"rounds": 1, "train": {"epochs": 1, "batch_size": 8}}


class Heard(InProcess):
    """Keeps what the run's newcomer was told and said."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(Client(config, 0).handle)
        self.told: dict[str, bytes] = {}
        self.said: dict[str, bytes] = {}

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        told = {request.client: request.frame for request in requests}
        for reply in super().exchange(requests):
            if reply.client == NEWCOMER and reply.frame is not None:
                action = str(decode(told[NEWCOMER], 1 << 30).meta["action"])
                self.told[action], self.said[action] = told[NEWCOMER], reply.frame
            yield reply


def finished(folder: Path, **changes: Any) -> tuple[RunConfig, Heard]:
    """A run with one newcomer, and what passed between them."""
    config = small_config(tasks={"held_out": 1}, **changes)
    (folder / "seed-0").mkdir()
    heard = Heard(config)
    live(config, folder / "seed-0", heard)
    return config, heard


def tensors_and_distances(frame: bytes) -> tuple[dict[str, list[int]], object]:
    message = decode(frame, 1 << 30)
    return {n: t.tolist() for n, t in message.tensors.items()}, message.meta["distances"]


@pytest.mark.parametrize(
    ("policy", "further"),
    [
        ({"name": "given", "method": "topk"}, {}),
        ({"name": "given", "method": "warm"}, {}),
        ({"name": "given", "method": "grown"}, {"growth": GROWTH}),
        ({"name": "chosen", "among": ["topk", "mean"], "folds": 2}, {}),
        ({"name": "guarded", "method": "topk", "beyond": 1e6}, {}),
        ({"name": "guarded", "method": "topk", "beyond": 1e-6}, {}),
        ({"name": "guarded", "otherwise": "warm", "beyond": 1e-6}, {}),
        ({"name": "label_mix", "candidates": 3}, {}),
        ({"name": "best_of", "samples": 3}, {"generator": CVAE}),
    ],
    ids=lambda part: "-".join(map(str, part.values())) if "name" in part else "",
)
def test_who_comes_later_is_offered_what_the_runs_own_newcomer_was(
    tmp_path: Path, policy: dict[str, Any], further: dict[str, Any]
) -> None:
    config, heard = finished(tmp_path, adoption={"policy": policy}, **further)

    answer = Standing(config, tmp_path, 0).offer(heard.said["describe"])

    offered, distances = tensors_and_distances(answer)
    assert (offered, distances) == tensors_and_distances(heard.told["adopt"])
    assert len(offered) == len({tuple(values) for values in offered.values()})  # draws differ
    (kept,) = Bank.open(tmp_path / "seed-0" / "newcomers").records()
    adapter = Bank.open(tmp_path / "seed-0" / "newcomers").load(kept.digest)
    sent = config.codec.build().encode(adapter).tolist()
    assert sent in offered.values()
    (card,) = (tmp_path / "seed-0" / "adapters").glob(f"{folder_name(kept.task)}/README.md")
    by_labels = policy["name"] in ("label_mix", "best_of")
    assert (f"by {config.adoption.title}, is not here" in card.read_text()) == by_labels


@pytest.mark.parametrize("refine", ["gated", "always"])
def test_who_comes_later_makes_of_it_what_the_runs_own_newcomer_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refine: str
) -> None:
    adoption = {
        "policy": {"name": "label_mix", "candidates": 3},
        "refine": refine,
        "refine_epochs": 3,
        "labels": 16,
        "contribute": True,
    }
    config, heard = finished(tmp_path, adoption=adoption)
    desk = Client(config, 0).desk(NEWCOMER)
    own = OwnTask("mine", desk.objective, desk.train, desk.test)
    monkeypatch.setattr(newcomers, "open_task", lambda *_: own)
    standing = Standing(config, tmp_path, 0)
    newcomer = newcomers.Newcomer(config, 0, tmp_path / "out", tmp_path)

    described = newcomer.handle(NEWCOMER, standing.greeting())
    said = newcomer.handle(NEWCOMER, standing.offer(described))

    theirs = decode(heard.said["adopt"], 1 << 30)
    used = config.codec.build().decode(
        theirs.tensors["adapter.refined"], open_slot(config.backbone, config.lora, "cpu").spec
    )
    assert peft_folder.load(tmp_path / "out", newcomer.base).digest() == used.digest()
    assert standing.worth(said)["adopted"] == theirs.meta["value"]["accuracy"]
    trained = "trained further on its labels" in (tmp_path / "out" / "README.md").read_text()
    assert trained == theirs.meta["refined"]
    assert trained or refine == "gated"


@pytest.mark.parametrize("otherwise", ["nearest", "warm"])
def test_a_foreign_task_is_told_so_after_the_run_too(tmp_path: Path, otherwise: str) -> None:
    policy = {"name": "guarded", "method": "topk", "otherwise": otherwise, "beyond": 4.0}
    config, _ = finished(tmp_path, adoption={"policy": policy})
    bank = Bank.open(tmp_path / "seed-0" / "bank").training_bank()
    offering = open_service(config, tmp_path / "seed-0", 0, policy_in_service(config, labels=False))
    maker = Maker.of_run(config, tmp_path, None)

    near, far = bank.conditions[0], 50 * bank.conditions[0]
    (made,) = maker.serve(near).adapters
    assert not maker.serve(near).foreign
    assert made.digest() == offering.learned["topk"].sample(near[None], seed=0)[0].digest()
    served = maker.serve(far, rank=1, samples=3)
    assert served.foreign
    assert served.distance is not None
    assert served.distance > 4.0
    assert offering.nearest is not None
    ((nearest, distance),) = offering.nearest.neighbours(far, 1)
    expected = offering.warm if otherwise == "warm" else nearest
    assert expected is not None
    (given,) = served.adapters
    assert given.digest() == resize(expected, expected.spec.with_rank(1)).digest()

    asked = encode(Message("task_vector", {"vector": far}, {"spec": made.spec.to_json()}))
    answer = decode(Standing(config, tmp_path, 0).offer(asked), 1 << 24)
    assert answer.meta["distances"] == {"foreign": distance} == {"foreign": served.distance}

    if otherwise == "warm":
        (tmp_path / "seed-0" / "serving" / "warm.safetensors").write_bytes(b"?")
        with pytest.raises(FedloraError, match=r"warm\.safetensors: damaged"):
            Standing(config, tmp_path, 0)


@pytest.mark.parametrize(
    "adoption",
    [
        {"policy": {"name": "label_mix", "methods": []}},
        {"policy": {"name": "given", "method": "topk"}, "refine": "gated"},
        {"policy": {"name": "label_mix", "methods": ["nearest"]}},
    ],
)
def test_without_labels_the_first_method_serves_and_says_so(
    tmp_path: Path, adoption: dict[str, Any]
) -> None:
    known = {"baselines": [{"name": "topk"}, {"name": "nearest"}]}
    config, _ = finished(tmp_path, adoption=adoption, evaluation=known)
    vector = Bank.open(tmp_path / "seed-0" / "bank").training_bank().conditions[0]
    maker = Maker.of_run(config, tmp_path, None)

    (made,) = maker.serve(vector).adapters

    first = next(iter(config.adoption.policy.build().methods), "generated")
    place = "generator" if first == "generated" else f"serving/{first}"
    assert made.digest() == generated_by(tmp_path / "seed-0" / place, vector).digest()
    assert maker.warning is not None
    assert f"by {config.adoption.title}" in maker.warning
    plain = config.model_copy(update={"adoption": small_config().adoption})
    assert Maker.of_run(plain, tmp_path, None).warning is None


def generated_by(folder: Path, vector: torch.Tensor) -> LoraAdapter:
    return load_generator(folder).sample(vector[None], seed=0, rank=2)[0]


def test_a_run_that_kept_no_tasks_to_compare_with_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "seed-0" / "generator").mkdir(parents=True)
    config = small_config(adoption={"policy": {"name": "label_mix", "methods": []}})
    with pytest.raises(FedloraError, match="nothing there to compare a task with; resume the run"):
        Standing(config, tmp_path, 0)


def test_a_mix_that_a_trial_chose_serves_as_if_it_had_been_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_winner", lambda *_: "label_mix")
    policies = {
        "tried": {"name": "chosen", "among": ["nearest"], "mix": True, "folds": 2},
        "named": {"name": "label_mix"},
    }
    heard: dict[str, Heard] = {}
    for way, policy in policies.items():
        (tmp_path / way).mkdir()
        adoption = {"policy": policy, "labels": 8}
        known = {"baselines": [{"name": "nearest"}]}
        config, heard[way] = finished(tmp_path / way, adoption=adoption, evaluation=known)
        if way == "tried":
            tried, folder = config, tmp_path / way

    told = {way: decode(one.told["adopt"], 1 << 30) for way, one in heard.items()}
    said = {way: decode(one.said["adopt"], 1 << 30) for way, one in heard.items()}
    assert told["tried"].tensors.keys() == told["named"].tensors.keys()
    assert said["tried"].meta["value"] == said["named"].meta["value"]
    errors = json.loads((folder / "seed-0" / "trial.json").read_text())["errors"]
    assert list(errors) == ["nearest", "generated", "label_mix"]

    vector = Bank.open(folder / "seed-0" / "bank").training_bank().conditions[0]
    asked = encode(Message("task_vector", {"vector": vector}, {"spec": spec_of(folder)}))
    later = decode(Standing(tried, folder, 0).offer(asked), 1 << 24)
    assert later.tensors.keys() == told["named"].tensors.keys()
    (made,) = Maker.of_run(tried, folder, None).serve(vector).adapters  # has no labels to mix by
    assert made.digest() == generated_by(folder / "seed-0" / "generator", vector).digest()


def spec_of(folder: Path) -> Any:
    return Bank.open(folder / "seed-0" / "bank").spec.to_json()


def test_in_the_pipeline_one_generator_stands_for_every_method(tmp_path: Path) -> None:
    policy = {"name": "chosen", "among": ["topk", "generated"], "mix": True}
    (tmp_path / "run").mkdir()
    config, _ = finished(tmp_path / "run", adoption={"policy": policy, "labels": 8})
    alone = tmp_path / "alone"
    shutil.copytree(tmp_path / "run" / "seed-0" / "generator", alone / "generator")
    shutil.copytree(tmp_path / "run" / "seed-0" / "serving" / "nearest", alone / "serving/nearest")
    blind = policy_in_service(config, labels=False)
    with pytest.raises(FedloraError, match=r"serving/topk: no generator yet"):
        open_service(config, alone, 0, blind)
    (generator,) = open_service(config, alone, 0, blind, one=True).learned.values()
    assert generator.name() == config.generator.name


def test_a_method_that_a_run_no_longer_has_is_missed(tmp_path: Path) -> None:
    policy = {"name": "label_mix", "methods": ["topk"]}
    config, _ = finished(tmp_path, adoption={"policy": policy})
    shutil.rmtree(tmp_path / "seed-0" / "serving" / "topk")
    with pytest.raises(FedloraError, match=r"serving/topk: no generator yet; finish the run"):
        Standing(config, tmp_path, 0)


def test_what_a_trial_chose_serves(tmp_path: Path) -> None:
    policy = {"name": "chosen", "among": ["topk", "mean"], "folds": 2}
    config, _ = finished(tmp_path, adoption={"policy": policy})
    held = tmp_path / "seed-0" / "trial.json"
    chosen = json.loads(held.read_text())["chosen"]
    assert [place.name for place in (tmp_path / "seed-0" / "serving").iterdir()] == [chosen]
    held.write_text("{")
    with pytest.raises(FedloraError, match=r"trial\.json: damaged"):
        Standing(config, tmp_path, 0)
