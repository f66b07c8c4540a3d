"""Every policy keeps the contract; each one's own rule is checked against the plain formula."""

import math

import pytest
import torch

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.adapter.product import norm
from fedlora.adoption.contract import Hand, Neighbour, Offer, Score
from fedlora.adoption.guarded import Guarded, GuardedConfig
from fedlora.adoption.label_mix import MOST
from fedlora.client.client import MOST_ADAPTERS
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

SPEC = AdapterSpec("base", (LayerSpec("q", 6, 5, 2), LayerSpec("v", 6, 4, 2)), 4.0)


def adapter(seed):
    return random_adapter(SPEC, seed)


def dense(found, layer):
    return found.spec.alpha / 2 * found.up[layer].double() @ found.down[layer].double()


class Scored:
    """Examples on which an adapter's loss is its distance in size from a wanted norm."""

    examples = 32

    def __init__(self, wanted=3.0):
        self.wanted = wanted

    def score(self, found, rows=None):
        return Score(0.0, abs(norm(found) - self.wanted))

    def refine(self, found, parts):
        raise AssertionError("a policy chooses; whether to refine is the gate's")


def hand(tasks=5):
    near = [Neighbour(adapter(place), 0.5 + place) for place in range(tasks)]
    return Hand(lambda name, sample: adapter(100 + sample), lambda count: near[:count], lambda: 2.0)


@pytest.fixture(params=registry.names("adoption"))
def policy(request):
    part = registry.find("adoption", request.param)
    return part(part.Config())


def test_what_is_chosen_fits_where_the_offer_came_from(policy):
    offer = policy.offer(hand(tasks=40))
    assert len(offer.adapters) == policy.adapters
    chosen = policy.choose(policy.offer(hand()), Scored())

    assert chosen.spec == SPEC
    assert bool(torch.isfinite(chosen.flatten()).all())
    again = policy.choose(policy.offer(hand()), Scored())
    assert torch.equal(chosen.flatten(), again.flatten())


def test_a_policy_says_whether_it_asks_for_neighbours_and_for_labels(policy):
    asked = set()

    class Asked(Scored):
        def score(self, found, rows=None):
            asked.add("labels")
            return super().score(found, rows)

    def nearest(count):
        asked.add("neighbours")
        return hand().nearest(count)

    policy.choose(policy.offer(Hand(hand().method, nearest)), Asked())

    assert policy.needs_neighbours == ("neighbours" in asked)
    assert policy.needs_labels == ("labels" in asked)


def test_an_empty_offer_is_refused_in_one_line(policy):
    with pytest.raises(FedloraError, match=r"^offer without an adapter$"):
        policy.choose(Offer({}), Scored())


def test_a_bank_of_one_task_can_be_offered(policy):
    assert policy.choose(policy.offer(hand(tasks=1)), Scored()).spec == SPEC


def test_the_mix_weighs_candidates_by_loss_and_distance():
    part = registry.find("adoption", "label_mix")
    policy = part(part.Config(candidates=4, methods=(), temperature=0.7, distance_weight=0.2))
    trial, near = Scored(), hand().nearest(4)

    chosen = policy.choose(policy.offer(hand()), trial)

    raw = [math.exp(-trial.score(n.adapter).loss / 0.7 - 0.2 * n.distance) for n in near]
    for layer in ("q", "v"):
        mixed = sum(
            weight / sum(raw) * dense(n.adapter, layer) for weight, n in zip(raw, near, strict=True)
        )
        left, singular, right = torch.linalg.svd(mixed)
        best = left[:, :2] * singular[:2] @ right[:2]
        assert torch.allclose(dense(chosen, layer), best, atol=1e-5)


def test_the_generated_adapter_stands_as_near_as_the_nearest_task():
    part = registry.find("adoption", "label_mix")
    offer = part(part.Config(candidates=2)).offer(hand())

    assert list(offer.adapters) == ["near0", "near1", "generated"]
    assert offer.distances["generated"] == offer.distances["near0"] < offer.distances["near1"]


def test_methods_alone_can_be_mixed_and_each_weighs_by_its_loss():
    part = registry.find("adoption", "label_mix")
    policy = part(part.Config(candidates=0, methods=("grown", "topk", "grown"), temperature=0.4))
    made = {"grown": adapter(1), "topk": adapter(2)}
    trial = Scored()

    offer = policy.offer(Hand(lambda name, _: made[name], lambda count: hand().nearest(count)))
    chosen = policy.choose(offer, trial)

    assert dict(offer.adapters) == made
    assert (policy.methods, policy.adapters) == (("grown", "topk"), 2)
    assert policy.title == "label_mix_grown_topk"
    assert part(part.Config()).title == "label_mix"
    raw = {name: math.exp(-trial.score(one).loss / 0.4) for name, one in made.items()}
    mixed = sum(raw[name] / sum(raw.values()) * dense(made[name], "q") for name in made)
    left, singular, right = torch.linalg.svd(mixed)
    assert torch.allclose(dense(chosen, "q"), left[:, :2] * singular[:2] @ right[:2], atol=1e-5)


@pytest.mark.parametrize(("candidates", "methods"), [(0, ()), (31, ("generated", "topk"))])
def test_a_mix_of_nothing_or_of_more_than_clients_take_is_refused(candidates, methods):
    part = registry.find("adoption", "label_mix")
    with pytest.raises(ValueError, match="between 1 and 32"):
        part.Config(candidates=candidates, methods=methods)
    assert MOST == MOST_ADAPTERS


def test_the_best_draw_is_the_one_with_the_lowest_loss():
    part = registry.find("adoption", "best_of")
    policy = part(part.Config(samples=6))
    sizes = [norm(adapter(100 + sample)) for sample in range(6)]
    wanted = sizes[4] + 1e-4

    chosen = policy.choose(policy.offer(hand()), Scored(wanted))

    assert torch.equal(chosen.flatten(), adapter(104).flatten())


def test_a_given_adapter_comes_alone():
    part = registry.find("adoption", "given")
    policy = part(part.Config(method="topk"))
    assert list(policy.offer(hand()).adapters) == ["topk"]
    with pytest.raises(FedloraError, match="offer of 2 adapters"):
        policy.choose(Offer({"a": adapter(0), "b": adapter(1)}), Scored())


@pytest.mark.parametrize(("distance", "named"), [(1.9, "generated"), (2.1, "foreign")])
def test_beyond_the_reach_of_the_bank_the_nearest_is_given(distance, named):
    near = [Neighbour(adapter(0), distance)]
    policy = Guarded(GuardedConfig())
    offer = policy.offer(Hand(lambda name, sample: adapter(1), lambda count: near, lambda: 2.0))

    assert list(offer.adapters) == [named]
    assert offer.distances == {named: distance}
    given = policy.choose(offer, Scored())
    assert torch.equal(given.flatten(), adapter(int(named == "generated")).flatten())


def test_beyond_the_reach_of_the_bank_the_warm_start_can_be_given():
    policy = Guarded(GuardedConfig(method="grown", otherwise="warm", beyond=3))
    made = {"grown": adapter(1), "warm": adapter(2)}

    def offered(distance):
        near = [Neighbour(adapter(0), distance)]
        offer = policy.offer(Hand(lambda name, _: made[name], lambda _: near, lambda: 1.0))
        return next(iter(offer.adapters.values()))

    assert policy.methods == ("grown", "warm")
    assert offered(2.9) is made["grown"]
    assert offered(3.1) is made["warm"]
