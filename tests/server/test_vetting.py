"""Who stands out is kept out, in product space; who is merely different is not."""

from dataclasses import replace
from functools import lru_cache, partial

import pytest
import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.adapter.resize import resize
from fedlora.config import ScreeningConfig
from fedlora.server import prints, vetting
from fedlora.server.likeness import directions, inner, lengths_of, nearest
from fedlora.server.vetting import Suspect, copied, robust_z, vet
from tests.adapters import random_adapter, regauged

SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 9, 8, 2), LayerSpec("b", 8, 10, 2)), 4.0)
WIDE = SPEC.with_rank(8)
LARGE = AdapterSpec("0" * 64, (LayerSpec("a", 40, 36, 4), LayerSpec("b", 36, 40, 4)), 4.0)
START = random_adapter(SPEC, 1000)
BASIS = [random_adapter(SPEC, 2000 + k) for k in range(3)]
CONFIG = ScreeningConfig()


def combined(points: list[LoraAdapter], weights: list[float]) -> LoraAdapter:
    return mean_delta(points, weights, 8)


def honest(client: int, task: str | None = None) -> Suspect:
    """Its change follows from its task vector, but for some noise."""
    draw = torch.Generator().manual_seed(client)
    vector = torch.rand(3, generator=draw) + 0.2
    noise = random_adapter(SPEC, 3000 + client)
    weights = [1.0, *vector.tolist(), 0.2]
    adapter = combined([START, *BASIS, noise], weights)
    return Suspect(client, task or f"task {client}", vector, START, lambda: [adapter])


def sending(one: Suspect, adapter: LoraAdapter) -> Suspect:
    return replace(one, read=lambda: [adapter])


def changed(one: Suspect, factor: float) -> LoraAdapter:
    """Start plus the change times a factor."""
    return combined([START, *one.read()], [1 - factor, factor])


EVERYONE = [honest(client) for client in range(20)]


def with_attacker(adapter: LoraAdapter, at: int = 7) -> list[Suspect]:
    return [*EVERYONE[:at], sending(EVERYONE[at], adapter), *EVERYONE[at + 1 :]]


def test_nobody_is_kept_out_among_the_honest():
    assert vet(CONFIG, EVERYONE) == {}


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (changed(EVERYONE[7], 8.0), "norm of its change"),
        (changed(EVERYONE[7], 1e-4), "norm of its change"),
        (START, "norm of its change"),
        (changed(EVERYONE[7], -1.0), "likeness"),
        (EVERYONE[3].read()[0], "a copy of another client"),
    ],
    ids=["scaled", "shrunk", "the start again", "sign flipped", "replayed"],
)
def test_who_stands_out_is_kept_out_alone(adapter: LoraAdapter, said: str):
    reasons = vet(CONFIG, with_attacker(adapter))
    assert list(reasons) == [7]
    assert said in reasons[7]


def test_factors_in_another_gauge_hide_nothing_and_harm_nobody():
    turned = [sending(one, regauged(one.read()[0], one.client)) for one in EVERYONE]
    assert vet(CONFIG, turned) == {}
    hidden = regauged(changed(EVERYONE[7], 8.0), 5)
    copied = regauged(EVERYONE[3].read()[0], 6)
    assert list(vet(CONFIG, with_attacker(hidden))) == [7]
    assert list(vet(CONFIG, with_attacker(copied))) == [7]


def test_a_vector_of_another_task_does_not_go_with_the_adapter():
    """Three groups of tasks with changes of their own; one client claims another group's vector."""

    def member(client: int, claims: int | None = None) -> Suspect:
        group = client % 3
        corner = torch.eye(3)[group if claims is None else claims]
        vector = corner + 0.05 * torch.rand(3, generator=torch.Generator().manual_seed(client))
        noise = random_adapter(SPEC, 3000 + client)
        adapter = combined([START, BASIS[group], noise], [1.0, 1.0, 0.1])
        return Suspect(client, f"task {client}", vector, START, lambda: [adapter])

    members = [member(client) for client in range(24)]
    assert vet(CONFIG, members) == {}
    members[4] = member(4, claims=2)
    reasons = vet(CONFIG, members)
    assert list(reasons) == [4]
    assert "likeness of its change to those of similar tasks" in reasons[4]


def test_the_distance_to_those_of_its_task_counts_where_there_are_some():
    def member(client: int, spread: float) -> Suspect:
        task = client % 4
        adapter = combined(
            [START, random_adapter(SPEC, 50 + task), random_adapter(SPEC, 3000 + client)],
            [1.0, 1.0, spread],
        )
        return Suspect(client, f"task {task}", torch.eye(4)[task], START, lambda: [adapter])

    loose = ScreeningConfig(size=100, spectrum=100, agreement=100)
    members = [member(client, 0.1) for client in range(20)]
    assert vet(loose, members) == {}
    members[6] = member(6, 2.0)
    assert "other clients of its task" in vet(loose, members)[6]


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_rescaled_factors_are_kept_out_of_rounds_whose_average_they_would_be(factor: float):
    plain = EVERYONE[7].read()[0]
    down = {name: values / factor for name, values in plain.down.items()}
    up = {name: values * factor for name, values in plain.up.items()}
    hidden = with_attacker(LoraAdapter(plain.spec, down, up, plain.head))

    assert vet(CONFIG, hidden) == {}  # the bank takes DeltaW, which is the same
    for tasks in (True, False):
        reasons = vet(CONFIG, hidden, tasks=tasks, factors=True)
        assert list(reasons) == [7]
        assert "ratio of its factors" in reasons[7]


def test_factors_that_are_too_large_for_their_product_are_kept_out_of_rounds():
    plain = EVERYONE[7].read()[0]
    gauge = torch.tensor([100.0, 0.01] * 4)  # whose ratio of `up` to `down` is a usual one
    down = {name: values / gauge[: len(values), None] for name, values in plain.down.items()}
    up = {name: values * gauge[: values.shape[1]] for name, values in plain.up.items()}
    hidden = with_attacker(LoraAdapter(plain.spec, down, up, plain.head))

    reasons = vet(CONFIG.model_copy(update={"size": 99.0}), hidden, factors=True)
    assert list(reasons) == [7]
    assert "the size of its factors beside their product" in reasons[7]
    assert "screening.balance" in reasons[7]


def little_in_common(client: int, sign: float = 1.0) -> Suspect:
    """Its change goes with those of similar tasks by a cosine of .3, as real ones may."""
    start, common = random_adapter(LARGE, 1), random_adapter(LARGE, 2)
    change = mean_delta([common, random_adapter(LARGE, 100 + client)], [sign, 1.1 * sign], 4)
    adapter = mean_delta([start, change], [1.0, 1.0], 8)
    vector = torch.rand(3, generator=torch.Generator().manual_seed(client))
    return Suspect(client, f"task {client}", vector, start, lambda: [adapter])


def test_at_the_limits_that_are_usual_a_flip_is_seen_where_tasks_have_little_in_common():
    everyone = [little_in_common(client) for client in range(20)]
    assert vet(CONFIG, everyone) == {}
    everyone[7] = little_in_common(7, sign=-1.0)
    reasons = vet(CONFIG, everyone)
    assert list(reasons) == [7]
    assert "similar tasks" in reasons[7]


def test_at_the_limits_that_are_usual_an_update_of_one_direction_is_seen_at_rank_four():
    def member(client: int, rank: int = 4) -> Suspect:
        adapter = mean_delta([random_adapter(LARGE, client)], [1.0], rank)
        grown = mean_delta([adapter], [norm(random_adapter(LARGE, 0)) / norm(adapter)], 4)
        vector = torch.rand(3, generator=torch.Generator().manual_seed(client))
        return Suspect(client, f"task {client}", vector, None, lambda: [grown])

    everyone = [member(client) for client in range(20)]
    assert vet(CONFIG, everyone) == {}
    everyone[7] = member(7, rank=1)
    assert "effective rank" in vet(CONFIG, everyone)[7]


def test_at_the_limits_that_are_usual_a_flip_is_far_from_the_others_of_its_task():
    def member(client: int, sign: float = 1.0) -> Suspect:
        task = random_adapter(SPEC, 50 + client % 4)
        own = random_adapter(SPEC, 3000 + client)
        adapter = combined([START, task, own], [1.0, 2 * sign, sign])
        return Suspect(client, f"{client % 4}", torch.eye(4)[client % 4], START, lambda: [adapter])

    loose = ScreeningConfig(size=100, agreement=100, direction=100)
    members = [member(client) for client in range(20)]
    assert vet(loose, members) == {}
    members[6] = member(6, -2.0)
    assert "other clients of its task" in vet(loose, members)[6]


def test_neighbours_that_lie_together_are_no_majority_of_a_large_task():
    def member(client: int) -> Suspect:
        lies = 20 <= client < 40
        adapter = combined(
            [START, random_adapter(SPEC, 51 if lies else 50), random_adapter(SPEC, 3000 + client)],
            [1.0, 3.0 if lies else 1.0, 0.1],
        )
        return Suspect(client, "task", torch.zeros(3), START, lambda: [adapter])

    loose = ScreeningConfig(size=100, spectrum=100, agreement=100)
    assert list(vet(loose, [member(client) for client in range(60)])) == list(range(20, 40))


def test_a_copy_is_found_whatever_it_was_sent_and_whichever_sample_it_is():
    known = EVERYONE[3].read()[0]
    loose = ScreeningConfig(size=100, spectrum=100, agreement=100)
    starts = [
        replace(one, start=random_adapter(SPEC, 7000 + at)) for at, one in enumerate(EVERYONE)
    ]
    starts[7] = replace(starts[7], read=lambda: [known, changed(EVERYONE[7], 2.0)])
    reasons = vet(loose, starts)
    assert list(reasons) == [7]
    assert "a copy of another client's" in reasons[7]


def test_a_copy_is_found_where_others_are_as_large():
    known = EVERYONE[3].read()[0]
    decoys = []
    for at in (5, 7):
        other = changed(EVERYONE[at], 2.0)
        decoys.append(sending(EVERYONE[at], combined([other], [norm(known) / norm(other)])))
    assert [norm(one.read()[0]) for one in decoys] == pytest.approx([norm(known)] * 2, rel=1e-6)
    again = sending(honest(30), regauged(resize(known, SPEC), 5))
    exact = sending(EVERYONE[3], resize(known, SPEC))
    assert list(copied([exact, *decoys, again])) == [30]


def test_every_adapter_of_an_answer_is_looked_at():
    two = replace(EVERYONE[7], read=lambda: [changed(EVERYONE[7], 9.0), *EVERYONE[7].read()])
    assert list(vet(CONFIG, [*EVERYONE[:7], two, *EVERYONE[8:]])) == [7]


def test_what_is_in_the_bank_is_compared_with_and_never_judged():
    stored = [replace(one, start=None) for one in EVERYONE]
    far = sending(honest(50), changed(honest(50), 40.0))
    for known in (EVERYONE, stored):
        assert vet(CONFIG, [honest(51)], [*known, far]) == {}
        assert list(vet(CONFIG, [far], known)) == [50]
    assert list(vet(CONFIG, [sending(honest(52), EVERYONE[2].read()[0])], EVERYONE)) == [52]


def test_too_few_are_not_compared_and_screening_can_be_left_out():
    odd = with_attacker(changed(EVERYONE[7], 50.0))
    assert vet(CONFIG, odd[4:9]) == {}
    assert vet(ScreeningConfig(enabled=False), odd) == {}


def test_inner_products_and_lengths_are_those_of_the_dense_changes():
    a, b, c = (random_adapter(SPEC, seed) for seed in range(3))

    def dense(adapter: LoraAdapter) -> torch.Tensor:
        return torch.cat([adapter.delta(x.name).flatten() for x in SPEC.layers]).double()

    change = dense(a) - dense(START)
    expected = [float(change @ (dense(b) - dense(START))), float(change @ dense(c))]
    found = inner([(a, START)], [(b, START), (c, None)])
    assert found[0].tolist() == pytest.approx(expected, rel=1e-5)
    whole = [float(change.norm()), float(dense(a).norm())]
    assert lengths_of([(a, START), (a, None)]) == pytest.approx(whole, rel=1e-5)


def test_a_client_with_little_data_may_change_little():
    assert vet(CONFIG, with_attacker(changed(EVERYONE[7], 0.05))) == {}


def test_rounds_look_at_norms_ranks_copies_and_the_common_direction():
    assert vet(CONFIG, EVERYONE, tasks=False) == {}
    for at in (0, 7, 19):
        reasons = vet(CONFIG, with_attacker(changed(EVERYONE[at], -1.0), at), tasks=False)
        assert list(reasons) == [at]
        assert "goes against the others'" in reasons[at]
    odd = with_attacker(changed(EVERYONE[7], -1.0))
    assert vet(ScreeningConfig(most=19), odd, tasks=False) == {}
    assert list(vet(CONFIG, with_attacker(changed(EVERYONE[7], 8.0)), tasks=False)) == [7]
    assert list(vet(CONFIG, with_attacker(EVERYONE[3].read()[0]), tasks=False)) == [7]


def test_little_common_direction_makes_nobody_an_opponent():
    def wanderer(client: int) -> Suspect:
        return sending(
            EVERYONE[client],
            combined([START, BASIS[0], random_adapter(SPEC, 6000 + client)], [1.0, 0.35, 1.0]),
        )

    others = [wanderer(client) for client in range(19)]
    change = combined([START, BASIS[0], random_adapter(SPEC, 7000)], [1.0, -0.1, 1.0])
    everyone = [*others, sending(EVERYONE[19], change)]
    assert vet(CONFIG, everyone, tasks=False) == {}


@pytest.mark.parametrize("together", [4, 7, 64])
def test_directions_are_mean_cosines_with_the_others_block_by_block(together):
    count, beside = 20, [2, 5, 11, 19]
    changes = [
        [(random_adapter(SPEC, 10 * at + k), START) for k in range(1 + at % 2)]
        for at in range(count)
    ]
    lengths = [lengths_of(own) for own in changes]

    def dense(change) -> torch.Tensor:
        adapter, start = change
        flat = [(adapter.delta(x.name) - start.delta(x.name)).flatten() for x in SPEC.layers]
        return torch.nn.functional.normalize(torch.cat(flat).double(), dim=0)

    def slow(at: int) -> float:
        others = torch.stack([dense(changes[other][-1]) for other in beside if other != at])
        return min(float((others @ dense(change)).mean()) for change in changes[at])

    found = directions(changes.__getitem__, lengths, beside, together)
    assert found.tolist() == pytest.approx([slow(at) for at in range(count)], abs=1e-5)


def test_many_are_compared_with_some_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr(vetting, "BESIDE", 9)
    turned = {at: sending(one, changed(one, -1.0)) for at, one in enumerate(EVERYONE[:3])}
    everyone = [*turned.values(), *EVERYONE[3:]]
    drawn = [vetting._drawn(20, 9, seed) for seed in range(20)]
    assert len({tuple(places) for places in drawn}) == 20
    assert all(len(places) == 10 for places in drawn)
    for seed in range(4):
        assert sorted(vet(CONFIG, everyone, tasks=False, seed=seed)) == list(turned)


def test_large_adapters_are_held_a_few_at_a_time(monkeypatch):
    usual = vet(CONFIG, with_attacker(changed(EVERYONE[7], 8.0)), tasks=False)
    monkeypatch.setattr(vetting, "HELD_BYTES", 20 * SPEC.with_rank(8).size)
    held = list[int]()
    monkeypatch.setattr(vetting, "lru_cache", lambda most: held.append(most) or lru_cache(most))
    assert vet(CONFIG, with_attacker(changed(EVERYONE[7], 8.0)), tasks=False) == usual
    assert held == [5]


def test_what_is_zero_or_as_it_was_sent_is_no_copy():
    nothing = [sending(one, START) for one in EVERYONE]
    blank = LoraAdapter(
        START.spec, START.down, {n: torch.zeros_like(up) for n, up in START.up.items()}, {}
    )
    assert vet(CONFIG, [sending(one, blank) for one in EVERYONE], tasks=False) == {}
    assert vet(CONFIG, nothing, tasks=False) == {}


def test_turned_adapters_are_told_from_copies_without_a_distance_each(monkeypatch):
    def turned(client: int) -> LoraAdapter:
        order = torch.randperm(9, generator=torch.Generator().manual_seed(client))
        own = EVERYONE[0].read()[0]
        return replace(own, down={**own.down, "a": own.down["a"][:, order]})

    counted = list[int]()

    def counting(a: LoraAdapter, b: LoraAdapter) -> float:
        counted.append(1)
        return distance(a, b)

    monkeypatch.setattr(prints, "distance", counting)
    crowd = [Suspect(n, "", torch.zeros(3), START, partial(list, [turned(n)])) for n in range(40)]
    assert copied(crowd) == {}
    assert len(counted) < 40


def test_factors_that_cancel_out_in_a_layer_are_seen():
    own = EVERYONE[7].read()[0]
    up, down = torch.zeros_like(own.up["a"]), torch.zeros_like(own.down["a"])
    up[:, 0], down[1] = 1000.0, 300.0
    hollow = replace(own, up={**own.up, "a": up}, down={**own.down, "a": down})
    reasons = vet(CONFIG, with_attacker(hollow), tasks=False, factors=True)
    assert list(reasons) == [7]


def test_a_task_whose_clients_share_a_far_vector_is_no_outlier():
    def member(client: int) -> Suspect:
        near = torch.randn(3, generator=torch.Generator().manual_seed(client)) * 1e-3
        return replace(EVERYONE[client], task=str(client // 4), vector=near + 50.0 * (client // 16))

    everyone = [member(client) for client in range(20)]
    assert not any("its task vector" in why for why in vet(CONFIG, everyone).values())
    everyone[18] = replace(everyone[18], vector=torch.full((3,), 1e9))
    reasons = vet(CONFIG, everyone)
    assert "its task vector" in reasons[18]
    assert not any("its task vector" in why for at, why in reasons.items() if at != 18)


def test_two_fifths_that_go_the_other_way_together_are_kept_out():
    turned = [sending(one, changed(one, -1.0)) for one in EVERYONE[:8]]
    assert sorted(vet(CONFIG, [*turned, *EVERYONE[8:]], tasks=False)) == list(range(8))


def test_where_clients_have_nothing_in_common_nobody_goes_against_it():
    strangers = [
        sending(one, combined([START, random_adapter(SPEC, 5000 + one.client)], [1.0, 1.0]))
        for one in EVERYONE
    ]
    assert vet(CONFIG, strangers, tasks=False) == {}


def test_large_banks_are_not_compared_with_similar_tasks():
    odd = with_attacker(changed(EVERYONE[7], -1.0))
    assert list(vet(ScreeningConfig(most=20), odd)) == [7]
    assert vet(ScreeningConfig(most=19), odd) == {}


def test_half_of_the_values_can_be_anything_without_moving_the_score_of_the_others():
    values = torch.tensor([1.0, 1.1, 0.9, 1.05, 0.95, 50.0, 60.0], dtype=torch.float64)
    z = robust_z(values, 0.01)
    assert z[:5].abs().max() < 2 < 50 < z[5:].min()
    assert robust_z(torch.tensor([2.0, 2.0, 2.05]), 0.1).abs().max() < 1
    assert robust_z(torch.tensor([1.0, float("nan")]), 0.1).tolist() == [0, 0]


def test_the_nearest_are_those_of_all_distances_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
):
    vectors = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    middle = vectors.quantile(0.5, dim=0)
    scaled = (vectors - middle) / (vectors - middle).abs().quantile(0.5, dim=0)
    apart = torch.cdist(scaled, scaled) + 1e9 * torch.eye(30)
    expected = apart.topk(5, largest=False).indices.tolist()
    assert nearest(vectors, 5) == expected
    monkeypatch.setattr("fedlora.server.likeness.ROWS", 7)
    assert nearest(vectors, 5) == expected
    assert [sorted(near) for near in nearest(vectors[:3], 5)] == [[1, 2], [0, 2], [0, 1]]


@pytest.mark.parametrize("vector", [[1e3, 0.5, 0.5], [1e12] * 3, [-1e30, 0.0, 0.0]])
def test_a_task_vector_far_from_all_is_kept_out_and_moves_nobody(vector: list[float]):
    loud = replace(EVERYONE[7], vector=torch.tensor(vector))
    everyone = [*EVERYONE[:7], loud, *EVERYONE[8:]]
    before = nearest(torch.stack([one.vector for one in EVERYONE]), 3)
    after = nearest(torch.stack([one.vector for one in everyone]), 3)

    reasons = vet(CONFIG, everyone)
    assert list(reasons) == [7]
    assert "task vector" in reasons[7]
    # One vector fewer in the middle moves the scale a little.
    others = [at for at in range(20) if at != 7 and 7 not in before[at]]
    kept = [len(set(before[at]) & set(after[at])) / 3 for at in others]
    assert sum(kept) >= 0.75 * len(kept)  # chance keeps a sixth
