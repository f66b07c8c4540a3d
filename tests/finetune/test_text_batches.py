"""Texts of similar length share a batch, by chance alone otherwise."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from fedlora import seeding
from fedlora.config import TrainSection
from fedlora.finetune.batched import train_many
from fedlora.finetune.course import Course
from fedlora.finetune.job import Job
from fedlora.finetune.local import train
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.text_batches import text_batches
from fedlora.tasks.contract import Examples
from tests.finetune.many import clients, objective, slot, start
from tests.finetune.test_batched import apart, turned


def lengths(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, 129, (count,), generator=torch.Generator().manual_seed(seed))


def order(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def padded(batches: list[torch.Tensor], of: torch.Tensor) -> int:
    return sum(len(batch) * int(of[batch].max()) for batch in batches)


@pytest.mark.parametrize("count", [1, 3, 8, 9, 64, 100, 257])
@pytest.mark.parametrize("step", [0, 7])
def test_each_row_comes_once_in_batches_of_the_size(count: int, step: int):
    batches = text_batches(order(count), lengths(count), 8, step)
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert sorted(len(batch) for batch in batches)[1:] == [8] * ((count - 1) // 8)


def test_little_is_padded():
    of = lengths(512)
    ours = padded(text_batches(order(512), of, 8, 0), of)
    assert ours < 1.15 * int(of.sum())
    assert padded(list(order(512).split(8)), of) > 1.6 * int(of.sum())


def test_who_shares_a_batch_is_left_to_chance():
    of = lengths(64)
    pairs = [
        {frozenset(batch.tolist()) for batch in text_batches(order(64, seed), of, 8, 0)}
        for seed in range(20)
    ]
    assert not any(one & other for one, other in pairwise(pairs))


def test_short_and_long_batches_take_turns():
    of = lengths(512)
    means = torch.stack([of[b].double().mean() for b in text_batches(order(512), of, 8, 0)])
    thirds = [part.mean() for part in means.split(22)]
    assert max(thirds) - min(thirds) < 0.2 * means.mean()
    assert (means.diff().sign().diff() != 0).double().mean() > 0.5


def test_clients_of_all_sizes_have_long_texts_in_the_same_steps():
    ways = []
    for seed, count in enumerate((64, 96, 160)):
        of, longest = lengths(count, seed), []
        for epoch in range(8):
            batches = text_batches(order(count, 8 * seed + epoch), of, 4, len(longest))
            longest += [float(of[batch].max()) for batch in batches]
        ways.append(longest[:128])
    together = torch.corrcoef(torch.tensor(ways))
    assert together.min() > 0.8


def test_an_order_follows_from_the_seed_alone_and_differs_between_epochs():
    job = clients("gpt2", torch.float64)[0]
    first, again = Course(job), Course(job)
    epochs = [first.shuffle(), first.shuffle()]
    assert all(
        torch.equal(torch.cat(one), torch.cat(other))
        for one, other in zip(epochs, [again.shuffle(), again.shuffle()], strict=True)
    )
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))


def test_images_are_dealt_as_they_are_shuffled():
    job = clients("clip", torch.float64)[0]
    shuffled = torch.randperm(job.examples, generator=seeding.generator(job.seed, "order"))
    assert torch.equal(torch.cat(Course(job).shuffle()), shuffled)


def test_questions_are_as_long_as_their_longest_answer():
    task = objective(slot("gpt2", torch.float64))
    mask = torch.zeros(32, 2, 40, dtype=torch.int64)
    for row in range(32):
        mask[row, 0, :2], mask[row, 1, : row + 3] = 1, 1
    job = clients("gpt2", torch.float64)[0]._replace(
        objective=task, rows={"input_ids": mask, "attention_mask": mask, "labels": mask[:, 0, 0]}
    )
    batches = Course(job).shuffle()
    spread = [int(batch.max() - batch.min()) for batch in batches]
    assert sum(spread) < 0.7 * sum(int(b.max() - b.min()) for b in order(32).split(4))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_mixed_lengths_learn_the_same_alone_and_at_once(dropout: float):
    where = slot("minilm", torch.float64, dropout=dropout)
    jobs = []
    for number, count in enumerate((10, 21)):
        task = objective_for(where, "text-classification", ("sport", "business"), False, 64)
        rows = task.encode(Examples(sentences(count, number), np.arange(count) % 2))
        how = TrainSection(epochs=2, batch_size=2, learning_rate=1e-3)
        jobs.append(Job(task, start(task, number), rows, None, how, seed=number))
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-11
    assert turned(ours, alone, jobs) < 1e-6


def sentences(count: int, seed: int) -> list[str]:
    """Of one to sixty words about nothing: what matters is that their lengths are mixed."""
    words = ["the", "lazy", "dog", "watches", "while", "a", "market", "falls"]
    return [" ".join(words[k % 8] for k in range(n)) for n in (lengths(count, seed) // 2).tolist()]
