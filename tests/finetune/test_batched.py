"""Clients trained at once learn what each would have learned alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedlora.config import TrainSection
from fedlora.errors import FedloraError
from fedlora.finetune.batched import train_many
from fedlora.finetune.guide import Guide
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.local import train
from fedlora.finetune.objectives import objective_for
from fedlora.finetune.objectives.multiple_choice import TOKENS
from fedlora.finetune.private import Protection
from fedlora.finetune.stack import AdapterStack
from tests.finetune.many import IMAGES, TEXTS, clients, examples, objective, slot, start

CASES = [(name, head) for name in (*IMAGES, *TEXTS) for head in (False, True)
         if not (head and name in ("smollm2_tiny", "gpt2"))]  # fmt: skip


def apart(ours: list[Trained], alone: list[Trained]) -> float:
    """The largest difference of any loss; the number of epochs and checkpoints is the same."""
    for one, other in zip(ours, alone, strict=True):
        assert len(one.adapters) == len(other.adapters)
    pairs = [
        pair
        for one, other in zip(ours, alone, strict=True)
        for pair in zip(one.curve + one.validation, other.curve + other.validation, strict=True)
    ]
    return max(abs(one - other) for one, other in pairs)


def turned(ours: list[Trained], alone: list[Trained], jobs: list[Job]) -> float:
    """The largest distance of two checkpoints, in units of what training moved."""
    return max(
        float((one.flatten() - other.flatten()).norm() / moved(other.flatten(), job).norm())
        for mine, own, job in zip(ours, alone, jobs, strict=True)
        for one, other in zip(mine.adapters, own.adapters, strict=True)
    )


def moved(values: Tensor, job: Job) -> Tensor:
    return values - job.start.flatten()


@pytest.mark.parametrize(("name", "head"), CASES)
def test_in_double_precision_the_results_are_those_of_training_alone(name: str, head: bool):
    jobs = clients(name, torch.float64, head)
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-11
    assert turned(ours, alone, jobs) < 1e-6  # adapters are kept in single precision


def test_a_layer_that_the_task_does_not_use_stays_as_it_is():
    """MiniLM's pooler is adapted, and what it says is used nowhere."""
    jobs = clients("minilm", torch.float64, targets=("dense",))
    assert any(job.settings.weight_decay for job in jobs)
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-9
    assert turned(ours, alone, jobs) < 1e-6
    unused = next(x.name for x in jobs[0].start.spec.layers if "pooler" in x.name)
    for one, job in zip(ours, jobs, strict=True):
        assert torch.equal(one.adapters[-1].up[unused], job.start.up[unused])


@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_in_single_precision_they_differ_by_rounding(name: str):
    jobs = clients(name, torch.float32)
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-3
    # Adam divides by the gradient's size, so a value whose gradient is all rounding moves freely.
    assert turned(ours, alone, jobs) < 1e-2


@pytest.mark.parametrize("name", ["tiny_vit", "minilm"])
def test_on_a_base_model_in_half_precision_they_differ_by_its_rounding(name: str):
    jobs = clients(name, torch.bfloat16)
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert turned(ours, alone, jobs) < 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [*IMAGES, *TEXTS])
def test_a_card_trains_at_once_what_it_trains_alone(name: str):
    jobs = clients(name, torch.float32, device="cuda")
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert turned(ours, alone, jobs) < 1e-2


@pytest.mark.slow
def test_the_small_language_model_itself_trains_at_once():
    """In single precision: its weights are known no better."""
    jobs = [
        job._replace(settings=job.settings.model_copy(update={"learning_rate": 1e-3}))
        for job in clients("smollm2", torch.float32, layers=(28, 29))[:2]
    ]
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-3
    assert turned(ours, alone, jobs) < 1e-2


@pytest.mark.slow
def test_the_tiny_language_model_is_built_as_the_small_one():
    tiny, small = (
        slot("smollm2_tiny").base.model.config,
        slot("smollm2", torch.float32, layers=(28, 29)).base.model.config,
    )
    assert small.model_type == tiny.model_type
    for name in ("num_attention_heads", "num_key_value_heads", "tie_word_embeddings"):
        assert getattr(tiny, name) == getattr(small, name), name
    assert tiny.rms_norm_eps == pytest.approx(small.rms_norm_eps)
    for name in ("hidden_act", "attention_bias", "rope_parameters"):
        assert getattr(tiny, name) == getattr(small, name), name


def test_the_clients_differ_in_epochs_and_one_stops_early():
    jobs = clients("clip", torch.float64)
    epochs = [len(trained.curve) for trained in train_many(jobs)]
    assert len(set(epochs)) > 2
    assert epochs[2] < jobs[2].settings.epochs


def test_each_gradient_is_clipped_to_its_own_norm():
    jobs = clients("clip", torch.float64)
    free = [
        job._replace(settings=job.settings.model_copy(update={"clip_norm": 1e9})) for job in jobs
    ]
    assert apart(train_many(jobs)[:1], train_many(free)[:1]) > 1e-4
    mixed = [jobs[0], *free[1:]]
    assert apart(train_many(mixed), [train(*job) for job in mixed]) < 1e-11


@pytest.mark.parametrize("name", ["tiny_vit", "smollm2_tiny"])
def test_dropout_is_what_each_client_would_have_drawn(name: str):
    jobs = clients(name, torch.float64, dropout=0.3)
    still = train(*clients(name, torch.float64)[0])
    alone, ours = [train(*job) for job in jobs], train_many(jobs)
    assert apart(ours, alone) < 1e-11
    assert turned(ours[:1], [still], jobs[:1]) > 1e-2


@pytest.mark.parametrize("name", ["clip", "smollm2_tiny", "gpt2"])
def test_adapters_of_different_ranks_train_together(name: str):
    jobs = [
        job
        for rank in (1, 2, 4)
        for job in clients(name, torch.float64, rank=rank, alpha=2 * rank + 1)[:2]
    ]
    assert len({(job.examples, job.settings.learning_rate) for job in jobs}) == 2
    alone = [train(*job) for job in jobs]
    wide = slot(name, torch.float64)
    tasks = [objective(wide, number % 2) for number in range(len(jobs))]
    together = [job._replace(objective=task) for job, task in zip(jobs, tasks, strict=True)]
    ours = train_many(together)
    assert apart(ours, alone) < 1e-11
    assert turned(ours, alone, jobs) < 1e-6
    assert [x.adapters[0].spec for x in ours] == [job.start.spec for job in jobs]


def test_padding_of_a_smaller_rank_never_trains():
    small, large = (start(objective(slot("clip", rank=rank)), 0) for rank in (1, 4))
    stack = AdapterStack([small, large], torch.float64, torch.device("cpu"))
    factors = stack.factors().values()
    sum((up @ down).square().sum() for down, up in factors).backward()
    assert stack.read(0).digest() == small.digest()
    unused = stack.values.detach()[0] == 0
    assert int(unused.sum()) == large.spec.size - small.spec.size
    assert not stack.values.grad[0, unused].any()
    assert stack.values.grad[1].all()


def test_a_client_whose_loss_explodes_costs_itself_alone():
    jobs = clients("clip", torch.float64)
    wild = jobs[1].settings.model_copy(update={"learning_rate": 1e300})
    broken = [jobs[0], jobs[1]._replace(settings=wild), *jobs[2:]]
    ours = train_many(broken)
    assert isinstance(ours[1], FedloraError)
    assert "lower the learning rate" in str(ours[1])
    others = [0, 2, 3]
    assert apart([ours[k] for k in others], [train(*jobs[k]) for k in others]) < 1e-11


def test_the_slot_works_as_before_afterwards():
    jobs = clients("gpt2", torch.float64)
    before = train(*jobs[0])
    train_many(jobs)
    assert train(*jobs[0]).adapters[-1].digest() == before.adapters[-1].digest()


def test_jobs_that_cannot_share_a_pass_are_refused():
    jobs = clients("clip", torch.float64)
    with pytest.raises(FedloraError, match="one base model"):
        train_many([jobs[0], clients("tiny_vit", torch.float64)[0]])
    headless = jobs[0]._replace(objective=objective(slot("clip", torch.float64), head=True))
    with pytest.raises(FedloraError, match="without the head"):
        train_many([headless])
    other = replace(jobs[0].start, spec=replace(jobs[0].start.spec, base="0" * 64))
    with pytest.raises(FedloraError, match="another base model"):
        train_many([jobs[0]._replace(start=other)])
    private = jobs[0]._replace(protection=Protection(1.0, 1.0, repeats=True))
    for job in (private, jobs[0]._replace(guide=Guide())):
        with pytest.raises(FedloraError, match="train alone"):
            train_many([job])
    assert train_many([]) == []


def test_a_model_that_mixes_the_rows_of_a_batch_is_refused():
    jobs = clients("clip", torch.float64)
    model = jobs[0].objective.slot.base.model
    tower = model.vision_model.encoder
    fold = tower.register_forward_pre_hook(
        lambda _, args, kwargs: (args, kwargs | {"inputs_embeds": kwargs["inputs_embeds"][:1]}),
        with_kwargs=True,
    )
    try:
        with pytest.raises(FedloraError, match=r"sees 1 rows .*training=sequential"):
            train_many(jobs)
    finally:
        fold.remove()


@pytest.mark.parametrize("name", ["smollm2_tiny", "gpt2"])
def test_questions_with_different_numbers_of_answers_train_together(name: str):
    where = slot(name, torch.float64)
    jobs = []
    for number, choices in enumerate((2, 4)):
        task = objective_for(where, "multiple-choice", (), False, 16)
        flat = examples(objective(where), 5 * choices, number)
        rows = {name: flat[name].unflatten(0, (5, choices)) for name in TOKENS}
        rows["target"] = rows["target"] * (torch.arange(rows["target"].shape[-1]) > 0)
        rows["labels"] = torch.arange(5) % choices
        how = TrainSection(epochs=2, batch_size=2)
        jobs.append(Job(task, start(task, number), rows, None, how, seed=number))
    assert apart(train_many(jobs), [train(*job) for job in jobs]) < 1e-11
