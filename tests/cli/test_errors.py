"""What a command says when something is amiss."""

import warnings

import pytest

import fedlora
from fedlora.cli.errors import INTERRUPTED, one_line_errors


def test_what_fedlora_warns_of_is_one_line_and_told_once() -> None:
    usual = warnings.formatwarning
    with one_line_errors():
        told = [warnings.formatwarning("why", UserWarning, fedlora.__file__, 1) for _ in range(2)]
        assert told == ["warning: why\n", ""]
        assert "elsewhere.py:1" in warnings.formatwarning("why", UserWarning, "elsewhere.py", 1)
    assert warnings.formatwarning is usual


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise KeyboardInterrupt
    assert ended.value.code == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
