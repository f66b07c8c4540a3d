"""A run that lost its server says how to go on."""

import pytest

from fedlora.errors import FedloraError
from fedlora.runtime.deploy.submit import going_on

AGAIN = "fedlora deploy submit --at server --resume runs/a"


@pytest.mark.parametrize(
    "said",
    [
        "No heartbeat received from the task",
        "flwr list: Using SuperLink: fedlora Connection to the SuperLink is unavailable. Check",
    ],
)
def test_what_flower_says_of_a_lost_server_becomes_the_command_that_goes_on(said):
    with pytest.raises(FedloraError, match=f"go on with: {AGAIN}"), going_on(AGAIN):
        raise FedloraError(said)


def test_other_errors_stay_what_they_are():
    with pytest.raises(FedloraError, match=r"^lora\.rank: too large$"), going_on(AGAIN):
        raise FedloraError("lora.rank: too large")
