"""Prompts from files, and what is said of bad ones."""

from pathlib import Path

import pytest

from fedlora.errors import FedloraError
from fedlora.tasks.prompts import by_task, read_prompts

LINES = """{"prompt": "who?", "task": "a"}
{"question": "what?", "task": "b"}
{"text": "who?", "task": "a"}
"""


def test_rows_and_lines_become_prompts_of_their_tasks(tmp_path: Path) -> None:
    rows, plain = tmp_path / "rows.jsonl", tmp_path / "plain.txt"
    rows.write_text(LINES)
    plain.write_text("\ufeffwho?\n\n  what?\n", encoding="utf-8")
    assert by_task(read_prompts(rows)) == {"a": ["who?"], "b": ["what?"]}
    assert [prompt.text for prompt in read_prompts(plain)] == ["who?", "what?"]
    with pytest.raises(FedloraError, match="line 2: no text in prompt"):
        read_prompts(rows, column="prompt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no prompt"),
        ("a.txt", b"\n \n", "holds no prompt"),
        ("a.txt", b"caf\xe9", "not UTF-8 at byte 3"),
        ("a.jsonl", b"", "holds no examples"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": \n', "line 2: malformed JSON"),
        ("a.jsonl", b'{"prompt": "x"}\n\n{"prompt": "y"}\n', "line 2: empty; remove the line"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": " "}\n', "line 2: 'prompt' is empty; write"),
        ("a.jsonl", b'{"task": "a", "text": null}\n', "line 1: 'text' is empty; write"),
        ("a.jsonl", b'{"prompt": 5, "text": "x"}\n', "line 1: 'prompt' is 5, not text; write it"),
        ("a.jsonl", b'{"words": "x"}\n', "line 1: no text in prompt.*are words: rename"),
        ("a.jsonl", b'{"text": "x", "task": "a"}\n{"text": "y"}\n', "line 2: no 'task', and"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "y", "task": "a"}\n', "line 1: no 'task', and"),
        ("a.csv", b"text,task\nx,a\ny,\n", "line 3: no 'task', and other rows have one; name"),
        ("a.jsonl", b'{"prompt": "\xe9"}\n', "not UTF-8"),
        ("a.jsonl", b"[" * 100_000, "line 1: malformed JSON"),
        ("a.jsonl", b'{"prompt": ' + b"9" * 5000 + b"}", "line 1: malformed JSON"),
        ("a.jsonl", b'{"prompt": "\\ud800"}', "line 1: malformed JSON"),
        ("a.pdf", b"x", "unknown format; use one of .txt, .jsonl"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FedloraError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(FedloraError, match="no such file"):
        read_prompts(tmp_path / "none.txt")
