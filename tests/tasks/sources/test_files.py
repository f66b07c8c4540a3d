"""A user's own data: what is read, and what is said when it is wrong."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from fedlora.errors import FedloraError
from fedlora.tasks.sources.files import Config, Files


def load(path, **options):
    return Files(Config(path=path, **options)).load()


def lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


ROWS = [
    {"text": f"text {n}", "label": ("good", "bad")[n % 2], "shop": f"s{n % 3}"} for n in range(9)
]


def test_jsonl_csv_and_parquet_give_the_same_table(tmp_path):
    one = lines(tmp_path / "a.jsonl", ROWS)
    two = tmp_path / "a.csv"
    two.write_text("text,label,shop\n" + "\n".join(",".join(row.values()) for row in ROWS))
    three = tmp_path / "a.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS), three)
    tables = [load(path, groups=("shop",)) for path in (one, two, three)]

    for table in tables:
        assert table.kind == "text-classification"
        assert table.label_names == ("bad", "good")
        assert list(table.examples.inputs) == [row["text"] for row in ROWS]
        assert table.examples.labels.tolist() == [1, 0] * 4 + [1]
        assert table.groups["shop"].tolist() == [row["shop"] for row in ROWS]


def test_empty_lines_that_end_a_file_are_no_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n\n \n')

    assert list(load(tmp_path / "a.jsonl").examples.inputs) == ["x", "y"]


def test_the_label_set_sets_the_order(tmp_path):
    table = load(lines(tmp_path / "a.jsonl", ROWS), labels=("good", "bad"))

    assert table.label_names == ("good", "bad")
    assert table.examples.labels[0] == 0


def test_the_kind_is_told_from_the_columns(tmp_path):
    text = lines(tmp_path / "t.jsonl", [{"text": "one"}, {"text": "two"}])
    asked = {"text": "?", "choices": ["x", "y"], "label": "y"}
    choice = lines(tmp_path / "c.jsonl", [asked, {**asked, "label": 0}])

    assert load(text).kind == "language-modelling"
    assert load(text).examples.labels is None
    assert load(choice).kind == "multiple-choice"
    assert load(choice).examples.labels.tolist() == [1, 0]
    with pytest.raises(FedloraError, match="no value for 'stars'; the columns are text"):
        load(text, label="stars")


def test_answers_are_read_as_public_question_sets_write_them(tmp_path):
    arc = {"question": "?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    lettered = {**arc, "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
    plain = {**arc, "choices": ["x", "y"], "answerKey": "A"}
    hellaswag = {**arc, "choices": ["x", "y"], "answerKey": "1"}
    named = {"text": "question", "label": "answerKey"}

    table = load(lines(tmp_path / "q.jsonl", [arc, lettered, plain, hellaswag]), **named)

    assert table.examples.choices == [["x", "y"]] * 4
    assert table.examples.labels.tolist() == [1, 1, 0, 1]
    wrong = lines(tmp_path / "w.jsonl", [{**plain, "answerKey": "C"}, plain])
    with pytest.raises(FedloraError, match=r"w\.jsonl line 1: answerKey 'C' is none of"):
        load(wrong, **named)
    (tmp_path / "n.jsonl").write_text(json.dumps({**arc, "choices": {"label": ["A"]}}) + "\n")
    with pytest.raises(FedloraError, match="not a list of two or more answers"):
        load(tmp_path / "n.jsonl", **named)


def test_a_split_column_marks_test_rows(tmp_path):
    rows = [{**row, "part": "test" if n > 5 else "train"} for n, row in enumerate(ROWS)]

    table = load(lines(tmp_path / "a.jsonl", rows), split="part")

    assert table.test.tolist() == [False] * 6 + [True] * 3


def test_image_folders_become_pictures_of_their_classes(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for shade, name in ((0, "dark"), (255, "light")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (10, 6), (shade, shade, shade)).save(
                    tmp_path / part / name / f"{number}.png"
                )
    table = load(tmp_path, size=8, channels=3)

    images = np.asarray(table.examples.inputs)
    assert images.shape == (10, 3, 8, 8)
    assert table.label_names == ("dark", "light")
    assert np.array_equal(images[:, 0, 0, 0], table.examples.labels)
    assert table.test.tolist() == [False] * 6 + [True] * 4


def test_a_class_that_may_not_be_read_is_named_and_not_left_out(tmp_path, monkeypatch):
    for name in ("dark", "light", "mine"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (10, 6)).save(tmp_path / name / "0.gif")
    assert load(tmp_path, size=8).label_names == ("dark", "light", "mine")
    listed = Path.iterdir

    def iterdir(path):
        if path.name == "mine":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(FedloraError, match=r"mine: Permission denied; let this user read it"):
        load(tmp_path, size=8, kind="image-classification")


WRONG = [
    ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": ', "a.jsonl line 2: malformed JSON"),
    ("a.jsonl", '{"text": "x", "label": "a"}\n[1]', "a.jsonl line 2: not a JSON object"),
    ("a.jsonl", '{"text": "x"}\n\n \n{"text": "y"}\n', "a.jsonl line 2: empty; remove the line"),
    ("a.jsonl", '\n{"text": "x"}\n', "a.jsonl line 1: empty; remove the line"),
    ("a.jsonl", '{"text": {"a": 1}}\n', "a.jsonl line 1: 'text' is {'a': 1}, not text; name"),
    ("a.jsonl", "", "a.jsonl: holds no examples"),
    ("a.csv", "text,label\n", "a.csv: holds no examples"),
    ("a.csv", "text,label\nx,a\ny,b,c\n", "a.csv line 3: 2 columns expected"),
    ("a.csv", "text,label\nx\n", "a.csv line 2: 2 columns expected"),
    ("a.csv", "text,label\nx,a\n,b\n", "a.csv line 3: no value for 'text'"),
    (
        "a.csv",
        "words,label\nx,a\n",
        "a.csv line 2: no value for 'text'; the columns are label, wor",
    ),
    ("a.csv", "text,label\nx,a\ny,a\n", "a.csv: label has one class only"),
    ("a.parquet", "PAR", "a.parquet: not a readable Parquet file"),
    ("a.txt", "x", "a.txt: unknown format; use one of .jsonl"),
    ("a.jsonl", '{"text": "?", "choices": ["x"], "label": 0}', "line 1: 'choices' is not a list"),
    ("a.jsonl", '{"text": "?", "choices": ["x", "y"], "label": 2}', "line 1: label '2' is none"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(FedloraError) as caught:
        load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_outside_the_set_gets_the_nearest_name(tmp_path):
    path = lines(tmp_path / "a.jsonl", [*ROWS, {"text": "x", "label": "goood"}])

    with pytest.raises(
        FedloraError, match=r"line 10: label 'goood' is not .* did you mean 'good'\?"
    ):
        load(path, labels=("good", "bad"))


def test_other_mistakes_are_one_line_too(tmp_path):
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"text,label\n\xa3,a\n")
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").write_bytes(b"no image")
    (tmp_path / "images" / "dog").mkdir()
    (tmp_path / "images" / "dog" / "1.png").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()

    with pytest.raises(FedloraError, match="not UTF-8 at byte"):
        load(latin)
    with pytest.raises(FedloraError, match=r"1\.png: not a readable image"):
        load(tmp_path / "images")
    with pytest.raises(FedloraError, match="holds no JSONL"):
        load(tmp_path / "empty")
    with pytest.raises(FedloraError, match="no such file or folder; check 'path'"):
        load(tmp_path / "nowhere")
    with pytest.raises(FedloraError, match="no images in class-named subfolders"):
        load(tmp_path / "empty", kind="image-classification")
