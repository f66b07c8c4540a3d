"""Every attack keeps the contract."""

import pytest
import torch

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.wire.message import Message, encode
from tests.adapters import random_adapter

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 9, 8, 2), LayerSpec("b", 8, 10, 2)), 4.0)
ROWS = {"pixel_values": torch.rand(20, 1, 8, 8), "labels": torch.arange(20) % 4}


@pytest.fixture(params=registry.names("attacks"))
def attack(request) -> Attack:
    part = registry.find("attacks", request.param)
    return part(part.Config())


def sight(attackers: int = 3, clients: int = 10, seed: int = 0) -> Sight:
    start = random_adapter(SPEC, 99)
    near = [
        LoraAdapter.from_flat(SPEC, start.flatten() + 0.1 * random_adapter(SPEC, k).flatten())
        for k in range(attackers)
    ]
    return Sight(start, near[-1], near, clients, attackers, seed)


def everything(attack: Attack, seed: int) -> tuple:
    """All that an attack makes of the same things."""
    rows = attack.rows(ROWS, 4, seed)
    vector = attack.vector(torch.zeros(3), lambda: torch.ones(3))
    frame = attack.frame(encode(Message("adapter", {"adapter.0": torch.zeros(40).byte()}, {})))
    sent = attack.adapter(sight(seed=seed))
    return {k: v.tolist() for k, v in rows.items()}, vector.tolist(), frame, sent.digest()


def test_the_attacks_of_the_docs_are_there():
    named = {"sign_flip", "scaling", "gaussian", "label_flip", "lie", "min_max", "backdoor"}
    named |= {"spoofing", "gauge", "nan_bomb", "shape_bomb", "replay"}
    assert named == set(registry.names("attacks"))


def test_an_attack_repeats_and_changes_something(attack):
    honest = Attack(None)

    assert everything(attack, 7) == everything(attack, 7)
    assert everything(attack, 7) != everything(honest, 7)


def test_an_attack_leaves_what_it_was_given_as_it_was(attack):
    seen = sight()
    before = [a.digest() for a in (seen.start, *seen.known)]
    rows = {name: column.clone() for name, column in ROWS.items()}

    attack.rows(rows, 4, 1)
    sent = attack.adapter(seen)

    assert sent.spec == seen.honest.spec
    assert [a.digest() for a in (seen.start, *seen.known)] == before
    assert all(torch.equal(rows[name], ROWS[name]) for name in rows)
