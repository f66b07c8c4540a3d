"""Every method on a short stream of real digits, and what each of them promises."""

from dataclasses import replace

import pytest
import torch

from fedlora import registry
from fedlora.adapter.total import total
from fedlora.backbone.fold import folded
from fedlora.config import TrainSection
from fedlora.continual.alignment import _draw, _normed, class_statistics
from fedlora.continual.contract import Step
from fedlora.continual.inputs import input_of
from fedlora.continual.learner import Learner
from fedlora.continual.memory import Memory
from fedlora.continual.methods.inflora import Config as InfLoraConfig
from fedlora.continual.methods.inflora import threshold
from fedlora.continual.stream import encode_stream
from fedlora.continual.study import features_of, survey
from fedlora.errors import FedloraError
from fedlora.section import parse
from fedlora.tasks.class_stream import ClassStream, Config

METHODS = registry.names("continual.methods")
SETTINGS = TrainSection(epochs=3, learning_rate=1e-2, batch_size=20)
GUARDED = {"threshold_first": 0.9, "threshold_last": 0.9}


def method_of(name, **options):
    cls = registry.find("continual.methods", name)
    return cls(parse(cls.Config, options))


def learner_of(name, slot, tasks, settings=SETTINGS, **options):
    return Learner(slot, method_of(name, **options), tasks, settings, seed=3)


def live(learner):
    for number in range(len(learner.tasks)):
        learner.begin_task(number)
        learner.train()
        learner.end_task()
    return learner


def test_the_methods_are_those_that_configs_name():
    assert {
        "complement_only",
        "frozen",
        "inflora",
        "inflora_ca",
        "joint",
        "olora",
        "random_down",
        "replay",
        "seq_lora",
        "subspace_only",
    } == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_a_stream_and_leaves_the_model_as_it_was(name, slot, tasks):
    before = {n: p.detach().clone() for n, p in slot.model.named_parameters() if "lora_" not in n}

    learner = live(learner_of(name, slot, tasks))

    scores = learner.scores()
    assert sorted(scores) == [0, 1, 2]
    last = scores[2]
    assert last.within / last.rows > 0.6  # of two classes
    assert all(score.among <= score.within for score in scores.values())
    assert learner.predict(0, tasks[0].test).shape == (scores[0].rows, 4)
    assert learner.predict(0, tasks[0].test, among=[0, 1, 2]).shape == (scores[0].rows, 10)
    for n, p in slot.model.named_parameters():
        if "lora_" not in n:
            assert torch.equal(p, before[n]), n


def test_calls_out_of_order_are_one_line(slot, tasks):
    learner = learner_of("inflora", slot, tasks)
    for call in (learner.train, learner.end_task):
        with pytest.raises(FedloraError, match="no task is being learned: call begin_task first"):
            call()
    with pytest.raises(FedloraError, match="task 99: the stream has tasks 0 to 2"):
        learner.begin_task(99)


@pytest.mark.parametrize("name", ["inflora", "complement_only"])
def test_trained_branches_do_not_leak_in_single_precision(name, slot, tasks):
    learner = live(learner_of(name, slot, tasks, **GUARDED))
    assert all(leaked is not None and leaked < 1e-6 for leaked in learner.leaks)
    assert all(memory.size > 0 for memory in learner.keeper.state.memories.values())


def test_rows_outside_the_space_stay_outside_in_single_precision(slot, tasks):
    learner = learner_of("inflora", slot, tasks, **GUARDED)
    learner.begin_task(0)
    learner.train()
    learner.end_task()
    learner.begin_task(1)
    learner.train()
    source = input_of(slot.spec)
    for name, down in learner._branch.down.items():
        space = learner.keeper.state.memories[source[name]]
        inside = down.double().T - space.beyond(down.double().T)
        assert inside.norm() < 1e-7


def moved_by_a_second_task(name, slot, tasks, **options):
    """How far the features of the first task's images go while the second is learned."""
    first = tasks[0]
    learner = learner_of(name, slot, tasks, **options)
    features = []
    for number in (0, 1):
        learner.begin_task(number)
        learner.train()
        learner.end_task()
        features.append(features_of(first.objective, first.train, learner.keeper.frozen))
    return float((features[1] - features[0]).norm() / features[0].norm())


def test_an_image_whose_inputs_are_all_remembered_is_seen_as_before(slot, tasks):
    """One image has 17 tokens in 24 dimensions, so a second task has room, and none is shared.

    Swapped factors, spaces of outputs for those of inputs, or a mislabelled complement move it.
    """
    alone = replace(tasks[0], train={name: column[:1] for name, column in tasks[0].train.items()})
    stream = [alone, *tasks[1:]]
    whole = {"threshold_first": 1.0, "threshold_last": 1.0}
    assert moved_by_a_second_task("inflora", slot, stream, **whole) < 1e-4
    assert moved_by_a_second_task("subspace_only", slot, stream) > 1e-2


def test_an_unguarded_branch_would_leak(slot, tasks):
    """The same measure on branches that ignore the space: it can tell the difference."""
    from fedlora.continual.design import leak

    guarded = live(learner_of("inflora", slot, tasks, **GUARDED)).keeper
    free = live(learner_of("random_down", slot, tasks)).keeper
    source = input_of(slot.spec)
    spaces = {n: guarded.state.memories[source[n]] for n in source}
    assert leak(free.state.branches[-1], spaces) > 0.1


def test_down_stays_where_it_was_designed(slot, tasks):
    learner = learner_of("inflora", slot, tasks)
    learner.begin_task(0)
    designed = learner._branch
    learner.train()
    trained = learner._branch
    for name, down in designed.down.items():
        assert torch.equal(trained.down[name], down)
        assert trained.up[name].abs().sum() > 0


def test_a_folded_model_is_the_model_with_all_its_branches(slot, tasks):
    learner = live(learner_of("random_down", slot, tasks))
    name = slot.spec.layers[0].name
    weight = slot.base.model.get_submodule(f"{name}.base_layer").weight
    plain = weight.detach().clone()

    with folded(slot, total(learner.keeper.state.branches)):
        moved = weight.detach() - plain

    by_hand = sum(branch.delta(name) for branch in learner.keeper.state.branches)
    assert torch.allclose(moved, by_hand, atol=1e-6)


def test_a_total_of_more_ranks_than_a_layer_has_is_still_exact(slot):
    branches = [slot.fresh(seed) for seed in range(13)]
    rng = torch.Generator().manual_seed(1)
    for branch in branches:
        for up in branch.up.values():
            up.copy_(torch.randn(up.shape, generator=rng))
    whole = total(branches)
    name = slot.spec.layers[0].name
    assert whole.spec.layers[0].rank == 24
    dense = sum(branch.delta(name) for branch in branches)
    assert torch.allclose(whole.delta(name), dense, atol=1e-5)


def test_surveys_of_parts_add_up(slot, tasks):
    task = tasks[0]
    half = {name: column[:25] for name, column in task.train.items()}
    rest = {name: column[25:] for name, column in task.train.items()}
    whole = survey(task, task.train, None)
    parts = [survey(task, rows, None) for rows in (half, rest)]
    for name, found in whole.moments.items():
        added = sum(part.moments[name].total for part in parts)
        assert torch.allclose(found.total, added, rtol=1e-5, atol=1e-4)
        assert found.count == sum(part.moments[name].count for part in parts)
    features = features_of(task.objective, task.train, None)
    mean = features[task.train["labels"] == 1].mean(0).double()
    assert torch.allclose(whole.classes[1].mean[-1, :-1], mean, atol=1e-6)


def test_keys_and_values_read_the_same_input(slot, tasks):
    """The names say that k_proj and v_proj of a block share their input; the model agrees."""
    from fedlora.continual.study import _watched

    names = [layer.name for layer in slot.spec.layers]
    seen = {}
    with torch.inference_mode(), _watched(slot, names, seen.__setitem__):
        tasks[0].objective.features({k: v[:4] for k, v in tasks[0].train.items()})
    source = input_of(slot.spec)
    for name in names:
        assert torch.equal(seen[name], seen[source[name]])
    first, second = sorted(set(source.values()))
    assert not torch.equal(seen[first], seen[second])


def test_blocks_are_told_apart_by_whole_names():
    """Block 1 is not block 10, which matching by substring takes it for."""
    from fedlora.adapter import AdapterSpec, LayerSpec

    names = [f"layer.{block}.k_proj" for block in range(12)]
    spec = AdapterSpec("base", tuple(sorted(LayerSpec(name, 8, 8, 2) for name in names)), 2.0)
    source = input_of(spec)
    assert all(source[name] == name for name in names)
    by_substring = [name for name in names if "layer.1" in name]
    assert len(by_substring) == 3  # the wrong version takes three blocks for one


def test_features_that_are_no_numbers_name_the_task_and_the_layer(slot, tasks):
    spoiled = {name: column.clone() for name, column in tasks[0].train.items()}
    spoiled["pixel_values"][3] = float("nan")
    learner = learner_of("inflora", slot, [replace(tasks[0], train=spoiled), tasks[1]])

    with pytest.raises(
        FedloraError, match=r"task '0\+1.*', layer \S*0\S*k_proj: its inputs hold NaN"
    ):
        learner.begin_task(0)


def test_a_task_that_was_not_learned_is_not_predicted(slot, tasks):
    learner = learner_of("inflora", slot, tasks)
    with pytest.raises(FedloraError, match=r"task 2 '.*' was not learned yet"):
        learner.predict(1, tasks[1].test)


def test_what_is_protected_rises_from_task_to_task():
    config = InfLoraConfig(threshold_first=0.9, threshold_last=1.0)
    rising = [threshold(config, Step(index, 4, "", 0)) for index in range(4)]
    assert rising == pytest.approx([0.9, 0.925, 0.95, 0.975])


def test_the_space_is_grown_by_what_the_trained_model_reads(slot, tasks):
    """Not by what the model read before the task was trained."""
    learner = learner_of("inflora", slot, tasks)
    learner.begin_task(0)
    learner.train()
    branch = learner._branch
    learner.end_task()

    trained = survey(tasks[0], tasks[0].train, learner.keeper.frozen).moments
    before = survey(tasks[0], tasks[0].train, None).moments
    eps = threshold(learner.method.config, learner._step)
    last = list(trained)[-1]  # the first block reads the same, whatever is trained in it
    grown = learner.keeper.state.memories[last]
    energy = learner.method.config.energy
    expected, wrong = (
        Memory.empty(24).grow(found[last].mean, eps, energy) for found in (trained, before)
    )
    probe = torch.eye(24, dtype=torch.float64)
    assert branch is not None
    assert torch.allclose(grown.beyond(probe), expected.beyond(probe), atol=1e-8)
    assert not torch.allclose(grown.beyond(probe), wrong.beyond(probe), atol=1e-3)


def test_alignment_draws_each_class_from_its_own_gaussian():
    rng = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    features = torch.randn(5000, 2, generator=rng) @ mixing + torch.tensor([3.0, -1.0])
    (known,) = class_statistics(features, torch.zeros(5000, dtype=torch.int64), 1)

    drawn = _draw(known, 20_000, rng)

    assert torch.allclose(drawn.mean(0), features.mean(0), atol=0.05)
    assert torch.allclose(drawn.T.cov(), features.T.cov(), atol=0.15)


def test_alignment_divides_logits_by_the_mean_of_their_norms_a_task():
    logits = torch.tensor([[3.0, 4.0, 0.0, 12.0]])  # norms 5 and 12
    assert torch.allclose(_normed(logits, [2, 2]), logits / 8.5)


def test_heads_of_old_tasks_are_left_alone_without_alignment(slot, tasks):
    learner = learner_of("seq_lora", slot, tasks)
    learner.begin_task(0)
    learner.train()
    learner.end_task()
    first = learner.keeper.heads[0]
    learner.begin_task(1)
    learner.train()
    assert torch.equal(learner.keeper.heads[0].weight, first.weight)


def test_alignment_tells_the_classes_of_different_tasks_apart(slot, tasks):
    apart = live(learner_of("frozen", slot, tasks))
    aligned = live(learner_of("frozen", slot, tasks, align={}))
    among = [sum(score.among for score in x.scores().values()) for x in (apart, aligned)]
    assert among[1] > among[0]


def test_joint_training_on_everything_beats_forgetting(slot, tasks):
    settings = TrainSection(epochs=6, learning_rate=1e-2, batch_size=20)
    sequential = live(learner_of("seq_lora", slot, tasks, settings))
    joint = live(learner_of("joint", slot, tasks, settings))
    among = [sum(score.among for score in x.scores().values()) for x in (sequential, joint)]
    assert among[1] > among[0]


def test_olora_is_pushed_away_from_earlier_branches(slot, tasks):
    overlaps = []
    for strength in (0.0, 50.0):
        branches = live(learner_of("olora", slot, tasks, strength=strength)).keeper.state.branches
        overlaps.append(
            sum(float((branches[0].down[n] @ d.T).norm()) for n, d in branches[1].down.items())
        )
    assert overlaps[1] < 0.5 * overlaps[0]


def test_an_exhausted_space_is_an_error_or_a_smaller_branch(slot, tasks):
    full = {"threshold_first": 1.0}
    with pytest.raises(FedloraError, match=r"task 2 '4\+5\+6\+7', layer .*k_proj.*lora.rank=2"):
        live(learner_of("inflora", slot, tasks, **full))
    learner = live(learner_of("inflora", slot, tasks, exhausted="zero", **full))
    assert any(not down.any(dim=1).all() for down in learner.keeper.state.branches[1].down.values())


@pytest.mark.parametrize("value", [0, -0.5, 1.5])
def test_a_threshold_outside_its_range_names_its_key(value):
    with pytest.raises(FedloraError, match="threshold_first"):
        method_of("inflora", threshold_first=value)


def test_streams_of_one_task_or_with_shared_classes_are_refused(slot):
    source = {"name": "digits", "size": 8}
    alone = ClassStream(parse(Config, {"source": source, "classes_per_task": 10}))
    with pytest.raises(FedloraError, match="stream of 1 task"):
        encode_stream(alone, slot, 16)
    from fedlora.tasks.several import Config as SeveralConfig
    from fedlora.tasks.several import Several

    twice = Several(parse(SeveralConfig, {"tasks": {"a": source, "b": source}}))
    with pytest.raises(FedloraError, match="'a' and 'b' share the class '0'"):
        encode_stream(twice, slot, 16)
