"""Machines that do not come are waited for in words, and not for ever."""

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime import carriers
from fedlora.runtime.carriers import Carriers


class Nobody:
    """A Grid without nodes."""

    def get_node_ids(self):
        return []

    def pull_messages(self, message_ids):
        return []


def test_who_is_waited_for_is_told_once_and_in_the_end(monkeypatch):
    monkeypatch.setattr(carriers, "PATIENCE", 0.5)
    monkeypatch.setattr(carriers, "_BRIEFLY", 0.1)
    said = []

    with pytest.raises(FedloraError, match="2 expected, 0 answered within"):
        Carriers(Nobody(), say=said.append).wait_for(2)

    assert said == ["waiting for 2 of 2 machines, 0 s at most"]
