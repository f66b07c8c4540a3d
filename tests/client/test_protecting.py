"""What a client sends when single examples are to be protected."""

import pytest
import torch

from fedlora.client.client import Client
from fedlora.client.protecting import protection_of, vector_of
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put, train
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.private import Protection, draws, noisy_gradient, one_by_one
from fedlora.finetune.task_vector import task_vector
from fedlora.privacy.chance import Seeded
from fedlora.privacy.planning import planned
from fedlora.server.federation import federate
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply
from fedlora.wire.message import decode
from tests.conftest import small_config

PRIVATE = {"privacy": {"examples": {"epsilon": 8.0, "clip": 0.5}}}


@pytest.fixture(scope="module")
def desk():
    return Client(small_config(), 0).desk(0)


def trained(desk, protection, seed=0, epochs=2):
    settings = small_config(finetune={"epochs": epochs}).finetune
    start = fresh(desk.objective, 0)
    job = (desk.objective, start, desk.train, None, settings, seed)
    return start, train(*job, protection=protection).adapters[-1]


def test_down_stays_and_up_is_moved_by_noise_that_repeats(desk):
    start, first = trained(desk, Protection(0.5, 1.0, repeats=True))
    _, again = trained(desk, Protection(0.5, 1.0, repeats=True))
    _, entropy = trained(desk, Protection(0.5, 1.0, repeats=False))
    assert first.digest() == again.digest() != entropy.digest()
    for name in start.down:
        assert torch.equal(first.down[name], start.down[name])
        assert first.up[name].abs().max() > 0


def test_without_noise_an_unclipped_step_is_that_of_the_mean(desk):
    objective = desk.objective
    put(objective, fresh(objective, 0))
    up = [p for n, p in objective.slot.by_name().items() if n.endswith(".up")]
    index = torch.tensor([0, 3, 5, 7])

    def descend(rows):
        for parameter in objective.slot.parameters():
            parameter.grad = None
        loss = objective.loss(rows)
        loss.backward()
        return loss.detach()

    whole = descend(take(desk.train, index))
    expected = [p.grad.clone() for p in up]
    loss = noisy_gradient(
        one_by_one(descend, up),
        up,
        desk.train,
        index,
        4,
        Protection(1e9, 0.0, True),
        Seeded(0),
    )
    assert loss == pytest.approx(float(whole), rel=1e-5)
    assert all(torch.allclose(p.grad, e, atol=1e-7) for p, e in zip(up, expected, strict=True))

    noisy_gradient(
        one_by_one(descend, up),
        up,
        desk.train,
        index,
        4,
        Protection(1e-3, 0.0, True),
        Seeded(0),
    )
    size = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in up]))
    assert 0 < size <= 1.001e-3  # four examples of a thousandth each, divided by four


def test_noise_is_there_even_where_nobody_takes_part(desk):
    up = [p for n, p in desk.objective.slot.by_name().items() if n.endswith(".up")]
    nobody = torch.empty(0, dtype=torch.int64)
    chance = Seeded(0)
    noisy_gradient(
        lambda _: pytest.fail("nobody"),
        up,
        desk.train,
        nobody,
        8,
        Protection(2.0, 3.0, True),
        chance,
    )
    values = torch.cat([p.grad.flatten() for p in up])
    assert float(values.std()) == pytest.approx(2.0 * 3.0 / 8, rel=0.05)


def test_each_example_takes_part_by_chance():
    drawn = draws(100, 10, 2000, Seeded(0))
    sizes = torch.tensor([float(len(index)) for index in drawn])
    assert float(sizes.mean()) == pytest.approx(10, rel=0.05)
    assert float(sizes.var()) == pytest.approx(100 * 0.1 * 0.9, rel=0.15)
    assert all(len(index.unique()) == len(index) for index in drawn)


def test_all_that_a_client_trains_counts():
    config = small_config(**PRIVATE)  # 2 rounds of an epoch, then 2 epochs; 24 examples, 8 a batch
    rounds, growth, own = planned(config, 24)
    assert (rounds.rate, rounds.number) == (pytest.approx(1 / 3), 2 * 3)
    assert (growth.number, own.number) == (0, 2 * 3)
    noise = protection_of(config, 24).noise
    stricter = small_config(privacy={"examples": {"epsilon": 2.0}})
    assert protection_of(stricter, 24).noise > noise > 0
    assert protection_of(small_config(), 24) is None
    twice = planned(small_config(**PRIVATE, seeds=[0, 1]), 24)
    assert [phase.number for phase in twice] == [
        2 * phase.number for phase in (rounds, growth, own)
    ]


def test_losses_and_scores_of_examples_stay_at_home(tmp_path):
    seen = []

    class Watching:
        def __init__(self, client):
            self.client = client

        def exchange(self, requests):
            for request in requests:
                frame = self.client.handle(request.client, request.frame)
                seen.append(decode(frame, 1 << 30))
                yield Reply(request.client, frame, "")

    config = small_config(**PRIVATE)
    federate(config, 0, Watching(Client(config, 0)), tmp_path, Silent())
    sent = [m.meta for m in seen if m.purpose in ("train", "adapter")]
    assert sent
    for meta in sent:
        assert not {"loss", "curve", "validation"} & meta.keys()
        assert meta["noise"] == protection_of(config, meta["examples"]).noise
        assert all(score == {} for score in meta.get("samples", []))


def test_a_task_vector_is_as_noisy_as_its_budget_says(desk):
    config = small_config()
    plain = task_vector(desk.objective, desk.train, config.task_vector)

    def vector(seed, **budget):
        protected = small_config(privacy={"task_vector": budget})
        return vector_of(protected, desk.objective, desk.train, seed)

    assert torch.equal(vector_of(config, desk.objective, desk.train, 0), plain)
    assert torch.equal(vector(0, epsilon=4.0), vector(0, epsilon=4.0))
    two = small_config(privacy={"task_vector": {"epsilon": 4.0, "clip": 1e3}}, seeds=[0, 1])
    once, of_two = vector(0, epsilon=4.0, clip=1e3), vector_of(two, desk.objective, desk.train, 0)
    assert torch.allclose(of_two - plain, (once - plain) * 2**0.5, rtol=1e-2, atol=1e-2)
    mild = vector(0, epsilon=1e6, clip=1e3)
    assert torch.allclose(mild, plain, atol=0.5)
    strict = torch.stack([vector(seed, epsilon=1.0, clip=1.0) for seed in range(4)])
    assert float(strict.std()) > 0.1


@pytest.mark.parametrize(("changes", "said"), [
    ({"finetune": {"patience": 2}}, "does not cover when training stops early"),
    ({"warm_start": {"score": True}}, r"does not cover warm_start\.score"),
    ({"warm_start": {"aggregation": {"name": "scaffold"}}}, "has no proof for 'scaffold'"),
    ({"warm_start": {"aggregation": {"name": "fedprox"}}}, "has no proof for 'fedprox'"),
    ({"warm_start": {"aggregation": {"name": "rolora"}}}, "has no proof for 'rolora'"),
    ({"warm_start": {"aggregation": {"name": "fedsa"}}}, "has no proof for 'fedsa'"),
])  # fmt: skip
def test_what_would_tell_past_the_noise_is_refused(changes, said):
    with pytest.raises(FedloraError, match=said):
        small_config(**PRIVATE | changes)
    with pytest.raises(FedloraError, match="covers pooled features alone"):
        small_config(privacy={"task_vector": {}}, task_vector={"features": ["early"]})
