"""The bench of the generator from prompts, where it can be checked in seconds."""

from pathlib import Path

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.bench.hyperconv import dry_run
from fedlora.bench.hyperconv.bench import bench_hyperconv
from fedlora.bench.hyperconv.quality import beyond
from fedlora.bench.hyperconv.speed import LARGE, MINILM
from fedlora.errors import FedloraError
from fedlora.evaluation.table import Row
from fedlora.pipeline.experiment.judging import centre, nearest_tasks
from fedlora.server.observer import Silent
from tests.generators.linear_family import SPEC


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


def test_a_difference_is_paired_by_task_over_seeds() -> None:
    rows = [
        Row(seed, task, 0, method, value + 0.1 * seed, None)
        for seed in (0, 1)
        for task, easy in (("a", 0.5), ("b", 0.7))
        for method, value in (("new", easy + 0.04), ("old", easy))
    ]
    claim = beyond("text", rows, "new", "old")
    assert claim.value == pytest.approx(4.0)
    assert claim.high == pytest.approx(4.0)


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedloraError, match="did you mean 'speed'"):
        bench_hyperconv(tmp_path / "out.json", ["sped"], Silent())
    assert not list(tmp_path.iterdir())
