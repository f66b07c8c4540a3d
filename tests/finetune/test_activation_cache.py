"""Training from recorded states is training on the rows themselves."""

from pathlib import Path

import pytest
import torch

from fedlora.errors import FedloraError
from fedlora.finetune.activation_cache import ActivationCache
from fedlora.finetune.batched import train_many
from fedlora.finetune.local import train
from fedlora.finetune.lower_blocks import BELOW, lower_blocks
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.state_store import StateStore
from tests.finetune.many import IMAGES, TEXTS, clients, examples, objective, slot
from tests.finetune.test_batched import apart, turned

TOP = {"tiny_vit": (2, 3), "clip": (2,), "minilm": (4, 5), "smollm2_tiny": (1, 2), "gpt2": (2,)}
PLENTY = 1 << 30


def room(memory: int) -> StateStore:
    """For so many bytes, none of them on disk."""
    return StateStore(memory, 0, Path("nowhere"))


@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_results_are_those_without_a_cache_alone_and_at_once(name: str):
    jobs = clients(name, torch.float64, layers=TOP[name], dropout=0.2)
    cache = ActivationCache(jobs[0].objective.slot, room(PLENTY))
    cached = [
        job._replace(rows=cache.extend(number, job.objective, job.rows))
        for number, job in enumerate(jobs)
    ]
    assert all(BELOW in job.rows for job in cached), cache.refusal
    plain = [train(*job) for job in jobs]
    for ours in ([train(*job) for job in cached], train_many(cached)):
        assert apart(ours, plain) < 1e-11
        assert turned(ours, plain, jobs) < 1e-6


@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_rows_that_are_judged_skip_the_blocks_below(name: str):
    job = clients(name, torch.float64, layers=TOP[name])[0]
    task = job.objective
    with torch.inference_mode():  # the adapter as it comes changes nothing
        task.slot.parameters()[-1].normal_()
    plain = task.score(job.rows)
    rows = ActivationCache(task.slot, room(PLENTY)).extend(0, task, job.rows)
    passes = []
    inside = list(lower_blocks(task.slot)[0].children())
    hooks = [layer.register_forward_hook(lambda *_: passes.append(1)) for layer in inside]
    replayed = task.score(rows)
    for hook in hooks:
        hook.remove()
    assert not passes
    assert replayed == pytest.approx(plain, rel=1e-9)


def test_answers_that_are_judged_skip_the_blocks_below_too():
    where = slot("gpt2", torch.float64, layers=(2,))
    task = objective_for(where, "multiple-choice", (), False, 16)
    flat = examples(task, 12, 0)
    flat["input_ids"][5] *= 0  # a question with two answers only
    flat["attention_mask"][5] *= 0
    flat["target"] = flat["attention_mask"].clone()
    flat["target"][:, 0] = 0
    rows = {name: column.unflatten(0, (4, 3)) for name, column in flat.items()}
    rows |= {"labels": torch.tensor([2, 0, 1, 1]), "characters": torch.full((4, 3), 5.0)}
    plain = task.score(rows)
    passes = task.spread(rows)
    states = ActivationCache(where, room(PLENTY)).extend(0, task, passes)[BELOW]
    below = {BELOW: states.unflatten(0, (4, 3))}
    seen = []
    inside = next(iter(lower_blocks(where)[0].children()))
    hook = inside.register_forward_hook(lambda *_: seen.append(1))
    replayed = task.score(rows | below)
    hook.remove()
    assert not seen
    assert replayed == pytest.approx(plain, rel=1e-9)
    other = task.score(rows | {BELOW: below[BELOW] * 2})
    assert other != pytest.approx(plain, rel=1e-3)


def test_the_blocks_below_are_computed_once():
    jobs = clients("clip", torch.float64, layers=(2,))
    where = jobs[0].objective.slot
    passes = []
    hook = lower_blocks(where)[0].mlp.register_forward_hook(lambda *_: passes.append(1))
    try:
        rows = ActivationCache(where, room(PLENTY)).extend(0, jobs[0].objective, jobs[0].rows)
        recording = len(passes)
        train(*jobs[0]._replace(rows=rows))
        assert len(passes) == recording
        train(*jobs[0])
        assert len(passes) == recording + jobs[0].steps
    finally:
        hook.remove()


def test_the_budget_is_kept_and_what_left_comes_back_the_same():
    task = objective(slot("clip", torch.float64, layers=(2,)))
    shards = [examples(task, 10, seed) for seed in range(3)]
    first = ActivationCache(task.slot, room(PLENTY)).extend(0, task, shards[0])[BELOW]
    cache = ActivationCache(task.slot, room(int(2.5 * first.nbytes)))
    for _ in range(2):
        for number, rows in enumerate(shards):
            cache.extend(number, task, rows)
            assert 0 < cache.store.in_memory <= cache.store.memory
    assert torch.equal(cache.extend(0, task, shards[0])[BELOW], first)
    small = ActivationCache(task.slot, room(first.nbytes - 1))
    assert BELOW not in small.extend(0, task, shards[0])
    assert BELOW not in ActivationCache(task.slot, room(0)).extend(0, task, shards[0])


def test_a_group_holds_no_more_beside_the_store_than_the_store_itself():
    """What a store has dropped lives on as long as the group that trains on it."""
    task = objective(slot("clip", torch.float64, layers=(2,)))
    rows = examples(task, 10, 0)
    size = ActivationCache(task.slot, room(PLENTY)).extend(0, task, rows)[BELOW].nbytes
    for budget, recorded in ((4 * size, True), (4 * size - 4, False)):
        store = StateStore(budget, budget, Path("nowhere"), at_once=4)
        assert (BELOW in ActivationCache(task.slot, store).extend(0, task, rows)) == recorded


@pytest.mark.parametrize("memory", [0, 1.5])
def test_what_memory_has_no_room_for_lies_on_disk_and_leaves_nothing_there(
    memory: float, tmp_path: Path
):
    task = objective(slot("clip", torch.float64, layers=(2,)))
    shards = [examples(task, 10, seed) for seed in range(4)]
    plenty = ActivationCache(task.slot, room(PLENTY))
    expected = [plenty.extend(k, task, rows)[BELOW] for k, rows in enumerate(shards)]
    size = expected[0].nbytes
    cache = ActivationCache(task.slot, StateStore(int(memory * size), 2 * size, tmp_path))
    for _ in range(2):
        for number, rows in enumerate(shards):
            assert torch.equal(cache.extend(number, task, rows)[BELOW], expected[number])
            assert cache.store.in_memory <= cache.store.memory
            assert cache.store.on_disk <= cache.store.disk
    assert cache.store.on_disk == 2 * size
    held = [cache.store.find(k) for k in range(4)]  # the first, which the next round begins with
    assert [found is not None for found in held] == [
        k < (2 if memory == 0 else 3) for k in range(4)
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_keeps_nothing(tmp_path: Path):
    (tmp_path / "file").touch()
    store = StateStore(0, PLENTY, tmp_path / "file" / "states")
    task = objective(slot("clip", torch.float64, layers=(2,)))
    rows = examples(task, 10, 0)
    assert ActivationCache(task.slot, store).extend(0, task, rows) is rows


def refusal(name: str, **lora: object) -> str:
    task = objective(slot(name, torch.float64, **lora))
    cache = ActivationCache(task.slot, room(PLENTY))
    rows = examples(task, 4, 0)
    assert cache.extend(0, task, rows) is rows
    assert not cache.remark or cache.remark.startswith(cache.refusal)
    return cache.remark


def test_a_model_with_nothing_frozen_below_is_refused_in_silence():
    assert refusal("clip") == ""
    with pytest.raises(FedloraError, match="the first block is adapted"):
        lower_blocks(slot("clip", torch.float64))


@pytest.mark.parametrize("change", ["trains", "in training mode"])
def test_a_lower_block_that_changes_is_refused(change: str):
    block = lower_blocks(slot("smollm2_tiny", torch.float64, layers=(2,)))[0]
    try:
        if change == "trains":
            block.mlp.up_proj.weight.requires_grad_(True)
        else:
            block.train()
        assert change in refusal("smollm2_tiny", layers=(2,))
    finally:
        block.mlp.up_proj.weight.requires_grad_(False)
        block.eval()


def test_a_model_whose_upper_blocks_look_further_down_is_refused():
    where = slot("gpt2", torch.float64, layers=(2,))
    blocks = where.base.model.transformer.h
    early: list[torch.Tensor] = []
    hooks = [
        blocks[0].register_forward_hook(lambda _m, _i, output: early.append(output)),
        blocks[2].register_forward_hook(lambda _m, _i, output: output + early.pop()),
    ]
    try:
        assert "more than the states below" in refusal("gpt2", layers=(2,))
    finally:
        for hook in hooks:
            hook.remove()
