"""Which prompts train and which judge, where tasks have some in common."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.prepare import TEST, TRAIN, prepare, read_prepared


def written(file: Path, texts_of: Mapping[str, Sequence[str]]) -> Path:
    rows = [{"task": task, "prompt": text} for task, texts in texts_of.items() for text in texts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def numbered(first: int, last: int) -> list[str]:
    return [f"question {number}" for number in range(first, last)]


SHARING = {
    "small": numbered(0, 8),
    "inside": numbered(0, 40),
    "beside": numbered(30, 90),
    "same": numbered(30, 90),
    "alone": numbered(100, 140),
}


def test_a_prompt_that_judges_one_task_trains_none(tmp_path: Path) -> None:
    made = prepare(written(tmp_path / "a.jsonl", SHARING), tmp_path / "out", 4, 0.2)
    train = {text for texts in made.train.values() for text in texts}
    test = {text for texts in made.test.values() for text in texts}
    assert not train & test
    for task, texts in SHARING.items():
        assert len(made.train[task]) >= 4
        assert len(made.test[task]) % 4 == 0
        assert abs(len(made.test[task]) - 0.2 * len(texts)) <= 4
    assert made.test["same"] == made.test["beside"]
    assert len(made.test["alone"]) == 8
    assert read_prepared(tmp_path / "out") == made


def test_a_split_is_the_same_each_time_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    turned = {task: texts[::-1] for task, texts in reversed(SHARING.items())}
    made = [
        prepare(written(tmp_path / "a.jsonl", texts_of), tmp_path / name, 4, 0.2)
        for name, texts_of in (("one", SHARING), ("other", turned))
    ]
    assert made[0] == made[1]


def test_tasks_of_two_prompts_keep_one_to_judge_and_one_to_train(tmp_path: Path) -> None:
    chain = {"ab": ["a", "b"], "cd": ["c", "d"], "bd": ["b", "d"], "de": ["d", "e"]}
    made = prepare(written(tmp_path / "a.jsonl", chain), tmp_path / "out", 1, 0.5)
    assert {len(texts) for part in (made.train, made.test) for texts in part.values()} == {1}

    circle = {"ab": ["a", "b"], "bc": ["b", "c"], "ca": ["c", "a"]}
    with pytest.raises(FedloraError, match="shares so many prompts with other tasks"):
        prepare(written(tmp_path / "b.jsonl", circle), tmp_path / "none", 1, 0.5)
    assert not (tmp_path / "none").exists()


def test_a_folder_in_which_a_prompt_does_both_is_refused(tmp_path: Path) -> None:
    prepare(written(tmp_path / "a.jsonl", SHARING), tmp_path / "out", 4, 0.2)
    train, test = (tmp_path / "out" / name for name in (TRAIN, TEST))
    train.write_text(train.read_text() + test.read_text().splitlines()[0])
    with pytest.raises(FedloraError, match="trains and judges; prepare the data again"):
        read_prepared(tmp_path / "out")


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    source, out = written(tmp_path / "a.jsonl", SHARING), tmp_path / "out"
    out.mkdir()
    made = prepare(source, out, 4, 0.2)
    with pytest.raises(FedloraError, match=r"prepared\.json: exists already; name another output"):
        prepare(source, out, 2, 0.5)
    assert read_prepared(out) == made


def test_a_row_without_a_task_among_others_is_named(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl", SHARING)
    source.write_text(source.read_text() + json.dumps({"prompt": "whose?"}))
    rows = sum(map(len, SHARING.values())) + 1
    with pytest.raises(FedloraError, match=rf"a\.jsonl line {rows}: no 'task', and other rows"):
        prepare(source, tmp_path / "out", 4, 0.2)
