"""What a generator is given of the prompts."""

from pathlib import Path

import torch

from fedlora.adapter import LoraAdapter
from fedlora.generators.ridge import Ridge
from fedlora.pipeline.experiment.prepare import Prepared
from fedlora.pipeline.experiment.settings import ExperimentConfig
from fedlora.pipeline.experiment.study import Study
from tests.generators.linear_family import SPEC

ADAPTER = LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size))
PREPARED = Prepared(
    train={"a": ["a1", "a2", "a3", "a4"], "b": ["b1", "b2"]},
    test={"a": ["a5", "a6", "a7", "a8"], "b": ["b3", "b4"]},
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
)


def test_prompts_that_judge_come_first_and_a_short_task_says_its_own_again() -> None:
    bank = STUDY.training_bank(ENCODED, STUDY.generator(width=2))
    assert STUDY.texts("a") == ["a5", "a6", "a1", "a2", "a3", "a4"]
    assert STUDY.texts("b") == ["b3", "b4", "b1", "b2", "b1", "b2"]
    assert bank.tasks == ["a", "a", "b"]
    said = [float(ENCODED[text][0]) for text in STUDY.texts("b")]
    assert bank.conditions[2].view(-1, 2)[:, 0].tolist() == said
    assert STUDY.generator(width=2).config.test_ratio == 2 / 6


def test_a_generator_of_one_vector_a_task_never_sees_the_prompts_that_judge() -> None:
    bank = STUDY.training_bank(ENCODED, Ridge(Ridge.Config()))
    assert bank.conditions.shape == (3, 2)
    train = [float(ENCODED[text][0]) for text in PREPARED.train["a"]]
    assert float(bank.conditions[0, 0]) == sum(train) / 4
