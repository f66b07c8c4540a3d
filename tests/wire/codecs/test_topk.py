"""Sparse values: which are kept, and what their positions cost."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire.codecs import rice


def entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_positions_come_back_and_nothing_else_is_read(data):
    size = data.draw(st.integers(1, 400))
    chosen = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    positions, rest = np.array(sorted(chosen), np.int64), b"\xff\x01"
    written = rice.write(positions)
    found, used = rice.read(np.frombuffer(written + rest, np.uint8), len(positions), size)

    assert found.tolist() == positions.tolist()
    assert used == len(written) <= rice.most(len(positions), size)


@given(junk=st.binary(max_size=60), count=st.integers(1, 40), size=st.integers(40, 400))
@settings(deadline=None, max_examples=100)
def test_junk_is_refused_or_is_positions_in_range(junk, count, size):
    try:
        found, used = rice.read(np.frombuffer(junk, np.uint8), count, size)
    except FedloraError:
        return

    assert len(found) == count
    assert found[0] >= 0
    assert found[-1] < size
    assert (np.diff(found) > 0).all()
    assert used <= len(junk)


@pytest.mark.parametrize("p", [0.01, 0.05, 0.1, 0.3])
def test_positions_cost_little_more_than_their_entropy(p):
    rng = np.random.default_rng(0)
    size = 200_000
    positions = np.sort(rng.choice(size, int(p * size), replace=False))

    assert entropy(p) < 8 * len(rice.write(positions)) / size < 1.05 * entropy(p)


def test_a_tenth_in_fp16_is_as_small_as_foretold():
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    data = CodecPart(name="topk", fraction=0.1).build().pack(values, [(len(values),)])

    assert 8 * len(data) / len(values) < 2.09  # the entropy alone would be 2.07


def test_the_largest_are_kept_and_ties_go_to_the_first():
    codec = CodecPart(name="topk", fraction=0.5, inner={"name": "none"}).build()
    values = torch.tensor([1.0, -3.0, 2.0, -2.0, 0.5, 2.0])
    back = codec.unpack(codec.pack(values, [(6,)]), [(6,)])

    assert back.tolist() == [0.0, -3.0, 2.0, -2.0, 0.0, 0.0]


@pytest.mark.parametrize("inner", ["delta", "lowrank"])
def test_what_needs_whole_adapters_cannot_be_inside(inner):
    with pytest.raises(FedloraError, match="put topk inside it"):
        CodecPart(name="topk", inner={"name": inner}).build()
