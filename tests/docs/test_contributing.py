"""Every example of CONTRIBUTING.md is put where it says, found by its name, and used."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adoption.contract import Hand, Neighbour
from fedlora.aggregation.contract import State
from fedlora.attacks.contract import Sight
from fedlora.attacks.update import update
from fedlora.generators.contract import TrainingBank
from tests.adapters import random_adapter
from tests.docs.examples import ROOT, blocks

EXAMPLES = {
    Path(block.before.strip("`")): block.code
    for block in blocks(ROOT / "CONTRIBUTING.md", "python")
}


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """Puts an example into its room, for one test, and returns its class."""

    def place(room: str, name: str) -> type:
        file = Path("fedlora", *room.split("."), f"{name}.py")
        (tmp_path / file.name).write_text(EXAMPLES[file])
        package = importlib.import_module(f"fedlora.{room}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"fedlora.{room}.{name}", raising=False)
        importlib.invalidate_caches()
        assert name in registry.names(room)
        return registry.find(room, name)

    yield place
    for file in EXAMPLES:
        sys.modules.pop(".".join(file.with_suffix("").parts), None)


def adapters(count: int, seed: int = 0) -> list[LoraAdapter]:
    spec = AdapterSpec(base="b", layers=(LayerSpec("q", 6, 5, 2), LayerSpec("v", 6, 5, 2)), alpha=4)
    return [random_adapter(spec, 100 * seed + number) for number in range(count)]


@pytest.fixture
def letters(tmp_path):
    for name in ("first", "second", "third", "fourth"):
        (tmp_path / name).mkdir()
        for i in range(40):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} text number {i}")
    return tmp_path


def test_the_source_reads_the_folder(placed, letters):
    source = placed("tasks.sources", "text_folders")

    table = source(source.Config(path=letters)).load()

    assert table.label_names == ("first", "fourth", "second", "third")
    assert len(table.examples) == 160
    assert table.examples.inputs[0] == "first text number 0"


def test_the_family_makes_a_task_of_each_class_of_that_source(placed, letters):
    placed("tasks.sources", "text_folders")
    family = placed("tasks", "one_against_rest")
    source = {"name": "text_folders", "path": letters}

    made = family(family.Config.model_validate({"source": source, "held_out": 1}))

    assert made.names().held_out == ("third",)
    assert made.from_rows  # so that the server, which reads no data, asks a client
    task = made.load("third")
    for split in task.splits.values():
        assert [x.startswith("third") for x in split.inputs] == list(split.labels == 1)
    assert np.concatenate([split.labels for split in task.splits.values()]).sum() == 40


def test_the_generator_gives_a_known_task_its_own_adapter_and_survives_the_disk(placed, tmp_path):
    generator = placed("generators", "shepard")
    bank = TrainingBank(adapters(3), torch.eye(3), ["a", "b", "c"])
    made = generator(generator.Config(power=4))

    made.fit(bank, seed=0, workdir=tmp_path, progress=lambda losses: None)
    made.save(tmp_path / "kept")
    again = generator.load(tmp_path / "kept")

    for known, answer in zip(bank.adapters, again.sample(torch.eye(3), seed=0), strict=True):
        assert torch.allclose(answer.delta("q"), known.delta("q"), atol=1e-4)


def test_the_policy_keeps_what_fits_the_labels(placed):
    policy = placed("adoption", "coin")
    generated, near = adapters(2)
    hand = Hand(lambda name, sample: generated, lambda count: [Neighbour(near, 0.5)])
    made = policy(policy.Config())

    class Labels:
        examples = 8

        def loss(self, adapter, rows=None):
            return 0.1 if adapter is near else 0.2

    assert made.choose(made.offer(hand), Labels()) is near


def test_the_aggregator_shrugs_at_an_outlier(placed):
    aggregator = placed("aggregation", "factor_median")
    honest = adapters(1)[0]
    wild = LoraAdapter.from_flat(honest.spec, honest.flatten() * 1e6)

    made = aggregator(aggregator.Config()).aggregate(
        State(0, wild, 3), [honest, wild, honest], [1.0, 1.0, 1.0]
    )

    assert made.common.digest() == honest.digest()


def test_the_free_rider_sends_as_much_as_it_would_have_learned_and_none_of_it(placed):
    attack = placed("attacks", "free_rider")
    start, honest = adapters(2)

    made = attack(attack.Config(ratio=0.5)).adapter(Sight(start, honest, [honest], 10, 2, 0))

    sent, learned = update(made, start), update(honest, start)
    assert float(sent.norm() / learned.norm()) == pytest.approx(0.5, rel=1e-4)
    assert abs(float(torch.cosine_similarity(sent, learned, dim=0))) < 0.6


def test_the_codec_keeps_its_bound(placed):
    codec = placed("wire.codecs", "int8_whole")
    made = codec(codec.Config())

    for adapter in adapters(20):
        data = made.encode(adapter)
        error = (made.decode(data, adapter.spec).flatten() - adapter.flatten()).abs().max()
        assert len(data) == adapter.spec.size + 4
        assert error <= made.error_bound(adapter)


def test_every_example_is_one_of_these():
    rooms = {str(file.parent): file.stem for file in EXAMPLES}

    assert rooms == {
        "fedlora/tasks/sources": "text_folders", "fedlora/tasks": "one_against_rest",
        "fedlora/generators": "shepard", "fedlora/aggregation": "factor_median",
        "fedlora/wire/codecs": "int8_whole", "fedlora/adoption": "coin",
        "fedlora/attacks": "free_rider",
    }  # fmt: skip
