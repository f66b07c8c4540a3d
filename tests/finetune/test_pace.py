"""Training at once is chosen where it is faster, costs little where it is not, and is remembered.

Time is a clock that the fake training moves, so that every ratio of speeds can be tried.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fedlora.finetune import trainer
from fedlora.finetune.batched import GivenUpError
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.pace import TRIES
from fedlora.finetune.trainer import Trainer
from tests.finetune.many import clients

BATCH = 8


class Bench:
    """Training that takes one second a client's step, and a group `1 / speed(size)` of that."""

    def __init__(self, speed: Callable[[int], float]) -> None:
        self.speed = speed
        self.seconds = 0.0
        self.sizes: list[int] = []

    def alone(self, *order: object) -> Trained:
        job = Job(*order)
        self.sizes.append(1)
        self.seconds += job.steps
        return Trained([], [0.0] * job.settings.epochs)

    def together(self, jobs: Sequence[Job], go_on: Callable[[int], bool]) -> list[Trained]:
        self.sizes.append(len(jobs))
        for step in range(jobs[0].steps):
            self.seconds += len(jobs) / self.speed(len(jobs))
            if step + 1 < jobs[0].steps and not go_on(BATCH * len(jobs)):
                raise GivenUpError
        return [Trained([], [0.0] * job.settings.epochs) for job in jobs]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], float]], Bench]:
    def install(speed: Callable[[int], float]) -> Bench:
        made = Bench(speed)
        monkeypatch.setattr(trainer, "train", made.alone)
        monkeypatch.setattr(trainer, "train_many", made.together)
        clocks = ("perf_counter", "thread_time", "process_time")
        clock = SimpleNamespace(**{name: lambda: made.seconds for name in clocks})
        monkeypatch.setattr(trainer, "time", clock)
        return made

    return install


def jobs(count: int, steps: int) -> list[Job]:
    one = clients("clip", torch.float32)[0]
    rows = {name: column[:1].expand(BATCH, *column.shape[1:]) for name, column in one.rows.items()}
    settings = one.settings.model_copy(update={"batch_size": BATCH, "epochs": steps})
    return [one._replace(rows=rows, settings=settings)] * count


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 40])
@pytest.mark.parametrize("speed", [1 / 3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0, 1.02, 1.2, 2.0, 4.0])
@pytest.mark.parametrize("pack", [16, 100])
def test_a_round_of_a_hundred_clients_is_never_three_percent_slower(
    bench, speed: float, steps: int, pack: int
):
    made = bench(lambda _: speed)
    auto, left = Trainer("auto", 16), 100
    while left:
        auto.train(jobs(min(pack, left), steps))
        left -= min(pack, left)
    assert made.seconds <= 1.03 * 100 * steps


@pytest.mark.parametrize("speed", [0.01, 0.1, 0.3])
def test_a_hopeless_trial_is_given_up_and_not_repeated_for_ever(bench, speed: float):
    made = bench(lambda _: speed)
    auto = Trainer("auto", 16)
    for _ in range(50):
        auto.train(jobs(16, 8))
    assert 1 <= len([size for size in made.sizes if size > 1]) <= 2
    assert made.sizes[-1] == 1


def test_a_group_grows_while_that_pays_and_stays(bench):
    made = bench(lambda size: {2: 1.5, 4: 2.0, 8: 2.5, 16: 2.2}[size])
    auto = Trainer("auto", 16)
    for _ in range(30):
        auto.train(jobs(16, 10))
    grown = [size for size in made.sizes if size > 1]
    assert grown == sorted(grown[: grown.index(16)]) + grown[grown.index(16) :]
    assert set(grown[-20:]) == {8}
    assert made.seconds < 0.55 * 30 * 16 * 10


@pytest.mark.parametrize("two", [1.03, 0.9])
def test_a_group_of_two_that_gains_nothing_is_no_verdict_on_sixteen(bench, two: float):
    made = bench(lambda size: {2: two, 4: 1.25, 8: 1.45, 16: 1.65}[size])
    auto, packs = Trainer("auto", 16), 60
    for _ in range(packs):
        auto.train(jobs(16, 8))
    assert set(made.sizes[-20:]) == {16}
    assert {2, 16} == set(made.sizes) - {1}
    assert made.seconds < 0.8 * packs * 16 * 8


@pytest.mark.parametrize("sixteen", [1 / 3, 0.8, 0.95, 1.02])
def test_the_largest_group_is_judged_once_and_within_the_same_bound(bench, sixteen: float):
    made = bench(lambda size: {2: 0.95, 16: sixteen}[size])
    auto, packs = Trainer("auto", 16), 0
    for packs in range(1, 61):
        auto.train(jobs(16, 8))
        assert made.seconds <= 1.03 * packs * 16 * 8
    assert made.sizes.count(16) == TRIES
    assert set(made.sizes[-16:]) == {1}


def test_two_that_lose_clearly_are_a_verdict_on_all(bench):
    made = bench(lambda size: {2: 0.8, 16: 4.0}[size])
    auto = Trainer("auto", 16)
    for _ in range(60):
        auto.train(jobs(16, 8))
    assert set(made.sizes) == {1, 2}


def test_the_largest_group_is_used_where_it_is_best(bench):
    made = bench(lambda size: size**0.5)
    auto = Trainer("auto", 24)
    for _ in range(20):
        auto.train(jobs(48, 10))
    assert made.sizes[-2:] == [24, 24]


def test_a_fault_in_a_group_is_no_verdict_on_groups(bench, monkeypatch: pytest.MonkeyPatch):
    made = bench(lambda _: 2.0)
    faults = iter([IndexError("one client's data")])

    def at_fault_once(*order: object) -> list[Trained]:
        for fault in faults:
            raise fault
        return made.together(*order)

    monkeypatch.setattr(trainer, "train_many", at_fault_once)
    auto = Trainer("auto", 2)
    assert len(auto.train(jobs(200, 10))) == 200
    assert set(made.sizes[-9:-1]) == {2}


def test_a_group_that_could_not_train_at_once_says_why(bench, monkeypatch: pytest.MonkeyPatch):
    def at_fault(*_: object) -> list[Trained]:
        raise IndexError("rows are\nmixed \udcff")

    bench(lambda _: 2.0)
    monkeypatch.setattr(trainer, "train_many", at_fault)
    done = Trainer("batched", 4).train(jobs(3, 2))
    assert [one.remark for one in done] == [
        "trained one by one, not at once: rows are mixed \\udcff"
    ] * 3
    assert all(isinstance(one.outcome, Trained) for one in done)


def test_the_second_process_uses_what_the_first_found(bench, tmp_path: Path):
    memory = tmp_path / "cache" / "training.json"
    bench(lambda _: 2.0)
    Trainer("auto", 4, memory).train(jobs(300, 4))
    kept = memory.read_text()

    made = bench(lambda _: 2.0)
    Trainer("auto", 4, memory).train(jobs(21, 4))
    assert made.sizes == [2, 1, *[2] * 9]
    assert memory.read_text() == kept


def test_a_size_that_was_chosen_in_noise_is_not_kept(bench, tmp_path: Path):
    memory = tmp_path / "training.json"
    bench(lambda _: 2.0)
    Trainer("auto", 2, memory).train(jobs(300, 4))

    made = bench(lambda _: 0.9)
    Trainer("auto", 2, memory).train(jobs(300, 4))
    assert made.sizes[:6] == [2, 1, 2, 1, 1, 1]
    assert made.seconds <= 1.03 * 300 * 4
    made = bench(lambda _: 2.0)
    Trainer("auto", 2, memory).train(jobs(300, 4))
    assert made.sizes[-2:] == [2, 2]


def test_what_was_found_for_other_work_is_not_used(bench, tmp_path: Path):
    memory = tmp_path / "training.json"
    bench(lambda _: 2.0)
    Trainer("auto", 2, memory).train(jobs(300, 4))
    made = bench(lambda _: 2.0)
    Trainer("auto", 4, memory).train(jobs(8, 4))
    other = [job._replace(rows=job.rows | {"more": torch.zeros(BATCH, 40)}) for job in jobs(8, 4)]
    Trainer("auto", 2, memory).train(other)
    assert set(made.sizes) == {1}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "b"}', "\udcff"])
def test_a_file_that_cannot_be_read_is_ignored_and_replaced(bench, tmp_path: Path, content: str):
    memory = tmp_path / "training.json"
    memory.write_bytes(content.encode(errors="surrogateescape"))
    made = bench(lambda _: 2.0)
    Trainer("auto", 2, memory).train(jobs(300, 4))
    assert made.sizes[0] == 1
    assert 2 in made.sizes[-2:]
    made = bench(lambda _: 2.0)
    Trainer("auto", 2, memory).train(jobs(5, 4))
    assert made.sizes == [2, 1, 2]


def test_a_folder_that_cannot_be_written_changes_nothing(bench, tmp_path: Path):
    (tmp_path / "file").touch()
    made = bench(lambda _: 2.0)
    Trainer("auto", 2, tmp_path / "file" / "training.json").train(jobs(300, 4))
    assert 2 in made.sizes[-2:]
