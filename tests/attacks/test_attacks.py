"""What each attack does to an honest answer."""

import math
from dataclasses import replace

import pytest
import torch

from fedlora import registry
from fedlora.adapter.product import distance
from fedlora.attacks.backdoor import Backdoor, BackdoorConfig
from fedlora.attacks.contract import Attack
from fedlora.attacks.lie import quantile
from fedlora.attacks.trigger import stamped
from fedlora.attacks.update import updates
from fedlora.errors import FedloraError
from fedlora.wire.message import Message, decode, encode
from tests.attacks.test_conformance import ROWS, sight


def made(name: str, **options: object) -> Attack:
    part = registry.find("attacks", name)
    return part(part.Config(**options))


def change(adapter, seen) -> torch.Tensor:
    return adapter.flatten().double() - seen.start.flatten().double()


def test_a_flipped_sign_points_the_other_way():
    seen = sight()
    honest, sent = (
        change(seen.honest, seen),
        change(made("sign_flip", factor=2).adapter(seen), seen),
    )
    assert torch.allclose(sent, -2 * honest, atol=1e-6)


def test_model_replacement_makes_the_average_the_attackers_own():
    seen = sight(attackers=2, clients=10)
    sent = change(made("scaling").adapter(seen), seen)
    # Two attackers send the same, eight others stay where they were.
    assert torch.allclose(2 * sent / 10, change(seen.honest, seen), atol=1e-6)


def test_noise_has_the_length_that_was_asked_for():
    seen = sight()
    sent = change(made("gaussian", ratio=5.0).adapter(seen), seen)
    assert float(sent.norm() / change(seen.honest, seen).norm()) == pytest.approx(5, rel=0.3)


def test_labels_are_mirrored():
    assert made("label_flip").rows(ROWS, 4, 0)["labels"].tolist() == [3, 2, 1, 0] * 5


def test_rows_without_classes_are_refused():
    with pytest.raises(FedloraError, match="needs tasks that classify"):
        made("label_flip").rows({"labels": torch.zeros(3, 7).long()}, 4, 0)
    with pytest.raises(FedloraError, match="target=9"):
        made("backdoor", target=9).rows(ROWS, 4, 0)


def test_a_little_is_enough_follows_the_papers_rule():
    # 50 workers, 24 corrupt: s = 26 - 24 = 2, z = quantile of 24 / 26.
    assert quantile(50, 24) == pytest.approx(1.426, abs=1e-3)
    seen = sight()
    sent, known = change(made("lie", z=1.5).adapter(seen), seen), updates(seen)
    assert torch.allclose(sent, known.mean(0) - 1.5 * known.std(0), atol=1e-6)


def test_min_max_goes_as_far_as_the_honest_are_apart_and_no_further():
    seen = sight(attackers=4)
    sent = made("min_max").adapter(seen)
    furthest = max(distance(sent, one) for one in seen.known)
    apart = max(distance(one, other) for one in seen.known for other in seen.known)
    assert furthest == pytest.approx(apart, rel=1e-4)
    assert furthest <= apart * (1 + 1e-6)
    assert float((change(sent, seen) - updates(seen).mean(0)).norm()) > 0.1


@pytest.mark.parametrize("name", ["lie", "min_max"])
def test_colluders_in_disguise_send_no_copies_and_mean_the_same(name):
    plain = sight(attackers=4)
    agreed = change(made(name).adapter(plain), plain)
    one, other = (
        change(made(name, apart=0.1).adapter(replace(plain, seed=seed)), plain) for seed in (1, 2)
    )
    for sent in (one, other):
        assert float((sent - agreed).norm() / agreed.norm()) == pytest.approx(0.1, rel=1e-3)
    assert float((one - other).norm()) > 0.1 * float(agreed.norm())


def test_a_backdoor_marks_a_share_of_the_rows_and_no_others():
    attack = Backdoor(BackdoorConfig(target=2, share=0.25, size=2))
    rows = attack.rows(ROWS, 4, 3)
    touched = (rows["pixel_values"] != ROWS["pixel_values"]).flatten(1).any(1)
    assert int(touched.sum()) == 5
    assert set(rows["labels"][touched].tolist()) == {2}
    assert torch.equal(rows["labels"][~touched], ROWS["labels"][~touched])
    assert torch.all(rows["pixel_values"][touched][..., -2:, -2:] == 1)


def test_a_mark_larger_than_the_images_is_refused():
    side = ROWS["pixel_values"].shape[-1]
    with pytest.raises(FedloraError, match=rf"size={side + 1}: images have {side} pixels a side"):
        stamped(ROWS, side + 1, 0)


def test_texts_are_marked_by_a_token():
    rows = {"input_ids": torch.arange(12).reshape(3, 4), "labels": torch.zeros(3).long()}
    assert stamped(rows, 1, 77)["input_ids"].tolist() == [
        [0, 77, 2, 3],
        [4, 77, 6, 7],
        [8, 77, 10, 11],
    ]


def test_another_gauge_is_the_same_update():
    seen = sight()
    sent = made("gauge", factor=50).adapter(seen)
    for layer in seen.start.spec.layers:
        assert torch.allclose(sent.delta(layer.name), seen.honest.delta(layer.name), atol=1e-5)
    assert float(sent.up["a"].norm() / seen.honest.up["a"].norm()) == pytest.approx(50)


def test_a_gauge_by_rank_leaves_up_about_as_large_beside_down():
    seen = sight()
    sent = made("gauge", factor=50, by_rank=True).adapter(seen)
    sizes = {"honest": seen.honest, "sent": sent}
    ratios = {
        name: sum(float(t.norm()) for t in a.up.values())
        / sum(float(t.norm()) for t in a.down.values())
        for name, a in sizes.items()
    }
    for layer in seen.start.spec.layers:
        assert torch.allclose(sent.delta(layer.name), seen.honest.delta(layer.name), atol=1e-5)
        assert float(sent.up[layer.name].norm()) > 20 * float(seen.honest.up[layer.name].norm())
    assert 0.2 < ratios["sent"] / ratios["honest"] < 5


def test_a_spoofed_vector_is_anothers():
    assert made("spoofing").vector(torch.zeros(2), lambda: torch.ones(2)).tolist() == [1, 1]


def test_every_attacker_replays_the_first():
    seen = sight()
    assert made("replay").adapter(seen) is seen.known[0]


def test_bombs_are_refused_where_they_arrive():
    frame = encode(Message("adapter", {"adapter.0": torch.zeros(40).byte()}, {}))
    with pytest.raises(FedloraError, match=r"impossible shape|damaged"):
        decode(made("shape_bomb").frame(frame), 1 << 20)
    arrived = decode(made("nan_bomb").frame(frame), 1 << 20)
    assert math.isnan(arrived.tensors["adapter.0"].view(torch.float32)[0])
