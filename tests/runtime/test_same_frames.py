"""What a client answers depends on the configuration, the seed and its message alone."""

from fedlora.runtime import inprocess
from fedlora.runtime import ray as on_ray
from fedlora.wire.exchange import Request
from fedlora.wire.message import Message, decode, encode
from tests.runtime.tiny_run import tiny_run

ACTIONS = ["describe", "finetune"]
CLIENTS = range(4)


def answers(order):
    """A story that asks in the given order, and what came back by client and action."""
    found = {}

    def story(transport):
        for action in ACTIONS:
            frame = encode(Message("control", {}, {"action": action}))
            requests = [Request(client, frame) for client in order]
            for reply in transport.exchange(requests):
                assert reply.frame is not None, reply.error
                found[reply.client, action] = decode(reply.frame, 1 << 24)

    return found, story


def test_inprocess_and_ray_answer_alike_in_any_order():
    here, story = answers(CLIENTS)
    inprocess.serve(tiny_run(), 0, story)
    there, story = answers(CLIENTS[::-1])
    ray_run = tiny_run(name="ray")
    with on_ray.serving(ray_run.runtime) as serve:
        serve(ray_run, 0, story)

    assert len(here) == len(there) == len(ACTIONS) * len(CLIENTS)
    for key, mine in here.items():
        theirs = there[key]
        assert {n: t.numpy().tobytes() for n, t in mine.tensors.items()} == {
            n: t.numpy().tobytes() for n, t in theirs.tensors.items()
        }
        # How long it took is told too, and differs.
        assert dict(mine.meta) | {"seconds": 0} == dict(theirs.meta) | {"seconds": 0}
