"""An app that is followed to its end, whatever ends the following."""

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime import submission


def test_why_the_following_ended_is_said_even_if_the_run_cannot_be_stopped(tmp_path, monkeypatch):
    asked = []

    def flwr(arguments, env):
        asked.append(arguments[0])
        if arguments[0] == "stop":
            raise FedloraError("flwr stop: [code: 18] Run is already finished.")
        return {"run-id": "7"}

    def follow(run, env, log, say):
        raise OSError(28, "No space left on device", str(log))

    monkeypatch.setattr(submission, "_flwr", flwr)
    monkeypatch.setattr(submission, "_follow", follow)
    with pytest.raises(OSError, match="No space left"):
        submission.submit(tmp_path, "here", {}, tmp_path / "log", print)
    assert asked == ["run", "stop"]
