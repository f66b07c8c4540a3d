"""What a generator is given of the prompts."""

from dataclasses import replace
from pathlib import Path

import torch

from fedlora.adapter import LoraAdapter
from fedlora.generators.ridge import Ridge
from fedlora.pipeline.experiment.checkpoints import KnownBase
from fedlora.pipeline.experiment.prepare import Prepared
from fedlora.pipeline.experiment.settings import ExperimentConfig
from fedlora.pipeline.experiment.study import Study
from tests.generators.linear_family import SPEC

ADAPTER = LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size))
PREPARED = Prepared(
    train={"a": ["a1", "a2", "a3", "a4", "a5", "a6"], "b": ["b1", "b2", "b3", "b4"]},
    test={"a": ["a7", "a8"], "b": ["b5", "b6"]},
    group=2,
)
ENCODED = {
    text: torch.tensor([float(number), 0.0])
    for number, text in enumerate(
        text
        for part in (PREPARED.train, PREPARED.test)
        for texts in part.values()
        for text in texts
    )
}
STUDY = Study(
    ExperimentConfig(name="small", checkpoint_dir=Path("none"), prompts=Path("none")),
    PREPARED,
    {"a": [ADAPTER, ADAPTER], "b": [ADAPTER]},
    {},
    KnownBase(),
)


def test_prompts_that_validate_come_first_and_a_short_task_says_its_own_again() -> None:
    bank = STUDY.training_bank(ENCODED, STUDY.generator(width=2))
    assert STUDY.texts("a") == ["a1", "a2", "a3", "a4", "a5", "a6"]
    assert STUDY.texts("b") == ["b1", "b2", "b3", "b4", "b3", "b4"]
    assert bank.tasks == ["a", "a", "b"]
    said = [float(ENCODED[text][0]) for text in STUDY.texts("b")]
    assert bank.conditions[2].view(-1, 2)[:, 0].tolist() == said
    assert STUDY.generator(width=2).config.test_ratio == 2 / 6


def test_with_a_single_group_a_task_none_validates() -> None:
    few = Prepared({"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}, PREPARED.test, group=2)
    study = replace(STUDY, prepared=few)
    assert study.validating == 0
    assert study.texts("b") == ["b1", "b2", "b1"]
    assert study.generator(width=2).config.test_ratio == 0


def test_no_generator_sees_the_prompts_that_judge() -> None:
    bank = STUDY.training_bank(ENCODED, Ridge(Ridge.Config()))
    assert bank.conditions.shape == (3, 2)
    train = [float(ENCODED[text][0]) for text in PREPARED.train["a"]]
    assert float(bank.conditions[0, 0]) == sum(train) / 6
    judged = {text for texts in PREPARED.test.values() for text in texts}
    assert not judged.intersection([*STUDY.texts("a"), *STUDY.texts("b")])
