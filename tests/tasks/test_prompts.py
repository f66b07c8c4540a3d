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
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": " "}\n', "line 2: no text"),
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
