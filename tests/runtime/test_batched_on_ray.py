"""Training at once on Ray: the numbers of one process to rounding, and its own to the bit."""

import pytest
import torch

from fedlora.runtime import inprocess
from fedlora.runtime import ray as on_ray
from fedlora.wire.exchange import Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import merged
from tests.runtime.tiny_run import tiny_run

CLIENTS = range(8)


def batched(**runtime):
    together = {"training": "batched", "group": 2, **runtime}
    raw = merged(tiny_run().model_dump(), {"tasks": {"bank": 8}, "runtime": together})
    return type(tiny_run()).model_validate(raw)


def trained(serve, config):
    """What each client's adapter came to, bytes of its frame's tensors by client."""
    found = {}

    def story(transport):
        frame = encode(Message("control", {}, {"action": "finetune"}))
        for reply in transport.exchange([Request(client, frame) for client in CLIENTS]):
            assert reply.frame is not None, reply.error
            found[reply.client] = decode(reply.frame, 1 << 24).tensors["adapter.0"]

    serve(config, 0, story)
    return found


@pytest.mark.slow
def test_ray_trains_at_once_what_one_process_does():
    here = trained(inprocess.serve, batched())
    config = batched(name="ray")
    with on_ray.serving(config.runtime) as serve:
        there, again = trained(serve, config), trained(serve, config)

    for client in CLIENTS:
        mine, theirs = (found[client].view(torch.float32) for found in (here, there))
        assert torch.linalg.vector_norm(mine - theirs) < 1e-3 * torch.linalg.vector_norm(mine)
        assert torch.equal(there[client], again[client])
