import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.resize import resize

SPEC = AdapterSpec(base="b", layers=(LayerSpec("q", 9, 7, 3),), alpha=6)


def adapter() -> LoraAdapter:
    draw = torch.Generator().manual_seed(0)
    return LoraAdapter.from_flat(SPEC, torch.randn(SPEC.size, generator=draw))


def test_more_ranks_keep_the_product_whatever_their_scaling():
    wide = resize(adapter(), SPEC.with_rank(6))

    assert wide.spec.layers[0].rank == 6
    assert torch.allclose(wide.delta("q"), adapter().delta("q"), atol=1e-5)
    assert not wide.up["q"][:, 3:].any()


def test_fewer_ranks_keep_the_largest_singular_values():
    small = resize(adapter(), SPEC.with_rank(1))
    left, values, right = torch.linalg.svd(adapter().delta("q"))

    best = values[0] * torch.outer(left[:, 0], right[0])
    assert torch.allclose(small.delta("q"), best, atol=1e-5)


def test_the_same_rank_is_the_same_adapter():
    own = adapter()

    assert resize(own, SPEC) is own
