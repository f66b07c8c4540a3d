"""Some clients attack: the same ones wherever they live, and nobody else is changed."""

import pytest
import torch

from fedlora.client.client import Client
from fedlora.errors import FedloraError
from fedlora.evaluation.attackers import attackers_of
from fedlora.runtime import inprocess
from fedlora.runtime import ray as on_ray
from fedlora.wire.exchange import Request
from fedlora.wire.message import Message, decode, encode
from tests.conftest import merged, small_config
from tests.runtime.tiny_run import tiny_run


def asked(action: str, **meta: object) -> bytes:
    return encode(Message("control", {}, {"action": action, **meta}))


def besieged(name: str, share: float = 0.4, **options: object) -> Client:
    attack = {"name": name, **options}
    return Client(small_config(attackers={"attack": attack, "share": share}), 0)


def sent(client: Client, number: int, frame: bytes) -> torch.Tensor:
    """The values of the adapter that a client trained."""
    message = decode(client.handle(number, frame), 1 << 24)
    return message.tensors["adapter.trained"].view(torch.float32)


def test_attackers_are_drawn_from_the_bank_by_the_seed():
    client = besieged("sign_flip")
    ours = attackers_of(client.config, 6, 0)

    assert len(ours) == 2
    assert all(client.seats[k].role == "bank" for k in ours)
    assert ours == attackers_of(client.config, 6, 0)
    assert len({attackers_of(client.config, 6, seed) for seed in range(20)}) > 5


def test_only_attackers_answer_otherwise():
    honest, client = Client(small_config(), 0), besieged("sign_flip", factor=1.0)
    frame = asked("warm_up", round=1)
    for number in range(6):
        one, other = sent(honest, number, frame), sent(client, number, frame)
        assert torch.equal(one, other) == (number not in client.siege.clients)


def test_colluders_send_the_same_whichever_of_them_is_asked():
    client = besieged("lie", share=0.5, z=1.0)
    frame = asked("warm_up", round=1)
    first, *others = [sent(client, number, frame) for number in sorted(client.siege.clients)]
    assert len(others) == 2
    for other in others:
        assert torch.allclose(first, other, atol=1e-6)


def test_collusion_is_the_mean_less_the_spread_of_what_they_would_have_sent():
    honest, client = Client(small_config(), 0), besieged("lie", share=0.5, z=1.0)
    frame = asked("warm_up", round=1)
    would = torch.stack([sent(honest, k, frame) for k in sorted(client.siege.clients)])
    got = sent(client, min(client.siege.clients), frame)
    assert torch.allclose(got, would.mean(0) - would.std(0), atol=1e-5)


def test_a_spoofer_describes_another_task():
    honest, client = Client(small_config(), 0), besieged("spoofing")
    ours = min(client.siege.clients)
    said = decode(client.handle(ours, asked("describe")), 1 << 24)
    vectors = [
        decode(honest.handle(k, asked("describe")), 1 << 24).tensors["vector"] for k in range(6)
    ]

    assert said.meta["task"] == honest.seats[ours].task
    assert torch.equal(said.tensors["vector"], vectors[(ours + 1) % 6])


def test_one_attacker_cannot_collude():
    with pytest.raises(FedloraError, match=r"attackers\.share=0\.2: 'lie' needs two"):
        besieged("lie", share=0.2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runtime": {"name": "deployment"}}, "attackers: for simulations"),
        ({"warm_start": {"aggregation": {"name": "scaffold"}}}, "clients keep nothing"),
        (
            {"lora": {"ranks": [1, 2]}, "warm_start": {"aggregation": {"name": "product"}}},
            "one rank",
        ),
    ],
)
def test_what_attackers_cannot_have_around_them_is_refused(changes: dict, said: str):
    with pytest.raises(FedloraError, match=said):
        small_config(attackers={"attack": {"name": "lie"}}, **changes)


@pytest.mark.slow
def test_ray_is_attacked_as_one_process_is():
    attackers = {"attack": {"name": "lie", "z": 1.0}, "share": 0.5}
    frame = asked("warm_up", round=1)

    def answers(serve, runtime: dict) -> dict[int, bytes]:
        found = {}

        def story(transport):
            for reply in transport.exchange([Request(client, frame) for client in range(4)]):
                assert reply.frame is not None, reply.error
                message = decode(reply.frame, 1 << 24)
                found[reply.client] = message.tensors["adapter.trained"].numpy().tobytes()

        raw = merged(tiny_run().model_dump(), {"attackers": attackers, "runtime": runtime})
        serve(type(tiny_run()).model_validate(raw), 0, story)
        return found

    here = answers(inprocess.serve, {})
    with on_ray.serving(tiny_run(name="ray").runtime) as serve:
        assert answers(serve, {"name": "ray"}) == here
