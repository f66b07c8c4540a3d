"""Families of tasks: equal sides, and banks that nobody looked at while choosing."""

import pytest

from fedlora.bench.generator.families import COMPOSITION, DENSE, FAMILIES, SEEDS, SPARSE
from fedlora.bench.generator.ways import (
    LORA_LONGER,
    MIX,
    way,
)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_all_sides_train_alike_on_the_same_tasks(family):
    plain = family.config(3)
    for name in family.growth:
        grown = family.config(3, name)
        assert grown.growth.generator.name == family.growth[name]["name"]
        assert plain.tasks == grown.tasks
        assert grown.finetune == plain.finetune.model_copy(update=family.after)
        assert plain.warm_start.train == grown.warm_start.train == grown.growth.train
        assert plain.warm_start.rounds == grown.warm_start.rounds + grown.growth.rounds
        assert not plain.growth.rounds


@pytest.mark.parametrize("family", [DENSE, SPARSE, COMPOSITION], ids=lambda family: family.name)
def test_every_bank_of_images_has_24_newcomers_or_more_in_range(family):
    outside = family.tasks.get("out_of_range", 0)
    names = family.config(5).tasks.build().names()
    assert len(names.held_out) * (1 - outside) >= 24
    assert not set(names.held_out) & set(names.bank)


@pytest.mark.parametrize("family", [DENSE, SPARSE, COMPOSITION], ids=lambda family: family.name)
def test_no_task_of_a_measured_bank_of_images_was_there_while_things_were_chosen(family):
    before, now = (family.config(seed).tasks.build().names() for seed in (8, SEEDS[0]))
    assert not {*before.bank, *before.held_out} & {*now.bank, *now.held_out}
    assert [len(before.bank), len(before.held_out)] == [len(now.bank), len(now.held_out)]


def test_few_labels_are_trained_on_as_often_as_the_whole_shard_and_once_for_as_many_steps():
    whole = {"epochs": 15, "examples": 96, "batch_size": 16}
    assert way(MIX, 32, **whole).refine_epochs == 15
    assert way(LORA_LONGER, 32, **whole).refine_epochs == 45
    assert way(LORA_LONGER, 8, **whole).refine_epochs == 90
    assert way(MIX, 128, **whole).labels == 128
