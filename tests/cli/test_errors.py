"""What a command says when something is amiss."""

import os
import signal
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import fedlora
from fedlora.cli.errors import one_line_errors
from fedlora.errors import INTERRUPTED


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


def test_ctrl_c_while_the_command_is_still_imported_is_one_line(tmp_path: Path) -> None:
    slow = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"
    (tmp_path / "typer.py").write_text(slow)
    # Tests that were started in the background ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = subprocess.Popen(
        [sys.executable, "-m", "fedlora", "--help"],
        env=os.environ
        | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(fedlora.__file__).parents[1]}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert begun.stdout is not None
    assert begun.stdout.readline() == "begun\n"
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate()
    assert (begun.returncode, said) == (INTERRUPTED, "interrupted\n")


def test_the_installed_command_is_the_one_that_heeds_it() -> None:
    project = tomllib.loads((Path(fedlora.__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"fedlora": "fedlora.__main__:main"}
