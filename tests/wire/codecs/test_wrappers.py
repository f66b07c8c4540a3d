"""Codecs around codecs: differences, smaller ranks, compression."""

import pytest
import torch
import zstandard

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance, mean_delta, norm
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import Codec

SPEC = AdapterSpec(base="b", layers=(LayerSpec("q", 40, 30, 8), LayerSpec("v", 40, 20, 8)), alpha=8)
LARGEST = torch.finfo(torch.float32).max


def adapter(seed: int, spread: float = 0.02) -> LoraAdapter:
    draw = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(SPEC, spread * torch.randn(SPEC.size, generator=draw))


def chain(*steps: dict) -> Codec:
    """Codecs inside each other, the outermost first."""
    part: dict = {}
    for step in reversed(steps):
        part = {**step, **({"inner": part} if part else {})}
    return CodecPart(**part).build()


def near(start: LoraAdapter, spread: float) -> LoraAdapter:
    return LoraAdapter.from_flat(SPEC, start.flatten() + adapter(9, spread).flatten())


def test_a_difference_is_coded_more_finely_than_the_whole():
    start = adapter(1)
    sent = near(start, 1e-4)
    plain, relative = chain({"name": "int8"}), chain({"name": "delta"}, {"name": "int8"})
    relative = relative.against(start.flatten())
    errors = [
        float((c.decode(c.encode(sent), SPEC).flatten() - sent.flatten()).abs().max())
        for c in (plain, relative)
    ]

    assert errors[1] < errors[0] / 50
    assert len(plain.encode(sent)) == len(relative.encode(sent))


def test_a_bound_codec_leaves_the_one_it_came_from_alone():
    codec, sent = chain({"name": "zstd"}, {"name": "delta"}, {"name": "none"}), adapter(1)
    before = codec.encode(sent)
    codec.against(adapter(2).flatten()).encode(sent)

    assert torch.equal(codec.encode(sent), before)


def test_a_smaller_rank_is_the_best_there_is():
    codec, sent = chain({"name": "lowrank", "rank": 3}), adapter(1)
    back = codec.decode(codec.encode(sent), SPEC)

    best = distance(sent, mean_delta([sent], [1.0], 3))
    assert back.spec == SPEC
    assert distance(sent, back) == pytest.approx(best, rel=1e-5)
    assert len(codec.encode(sent)) == 4 * sum(3 * (x.d_in + x.d_out) for x in SPEC.layers)


def test_a_rank_that_suffices_loses_nothing():
    small = mean_delta([adapter(1)], [1.0], 2)
    sent = mean_delta([small], [1.0], 8)
    codec = chain({"name": "lowrank", "rank": 2})

    assert distance(codec.decode(codec.encode(sent), SPEC), sent) < 1e-6 * norm(sent)


def test_a_long_chain_keeps_its_bound():
    start, steps = adapter(1), ({"name": "zstd"}, {"name": "delta"}, {"name": "topk"})
    codec = chain(*steps, {"name": "int8"}).against(start.flatten())
    sent = near(start, 1e-3)
    back = codec.decode(codec.encode(sent), SPEC)

    assert codec.feedback
    assert codec.relative
    assert float((back.flatten() - sent.flatten()).abs().max()) <= codec.error_bound(sent)


def test_planes_make_floats_smaller():
    sent = adapter(1)
    plain = chain({"name": "zstd"}, {"name": "none"})
    planes = chain({"name": "zstd", "planes": 4}, {"name": "none"})

    assert len(planes.encode(sent)) < len(plain.encode(sent))
    assert torch.equal(planes.decode(planes.encode(sent), SPEC).flatten(), sent.flatten())


def test_a_bomb_is_not_unpacked():
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    data = torch.frombuffer(bytearray(bomb), dtype=torch.uint8)
    with pytest.raises(FedloraError, match="grows beyond"):
        chain({"name": "zstd"}, {"name": "none"}).decode(data, SPEC)


@pytest.mark.parametrize(
    "steps",
    [
        ({"name": "delta"}, {"name": "lowrank"}),
        ({"name": "lowrank"}, {"name": "delta"}),
        ({"name": "lowrank"}, {"name": "lowrank"}),
    ],
)
def test_chains_that_mean_nothing_are_refused(steps):
    with pytest.raises(FedloraError, match=r"codec\.inner"):
        chain(*steps)


@pytest.mark.parametrize("quantiser", ["int8", "int4", "nf4"])
@pytest.mark.parametrize(
    "outer",
    [
        [{"name": "delta"}],
        [{"name": "zstd"}],
        [{"name": "topk"}],
        [{"name": "zstd"}, {"name": "delta"}, {"name": "topk"}],
    ],
)
def test_the_largest_number_arrives_through_every_chain(outer, quantiser):
    codec, sent = chain(*outer, {"name": quantiser}), adapter(1)
    sent.up["q"][0, 0], sent.down["v"][0, 0] = LARGEST, -LARGEST
    back = codec.decode(codec.encode(sent), SPEC)

    assert float((back.flatten().double() - sent.flatten()).abs().max()) <= codec.error_bound(sent)
    assert float(back.up["q"][0, 0]) == pytest.approx(LARGEST, rel=0.02)


def test_a_difference_that_would_lead_beyond_the_largest_number_is_refused():
    """The difference is 63.9 of the row's 127 steps, and arrives as 64."""
    start, sent = torch.zeros(4), torch.zeros(4)
    start[0], sent[0] = 0.497 * LARGEST, LARGEST
    sent[1] = -LARGEST
    codec = chain({"name": "delta"}, {"name": "int8"}).against(start)
    with pytest.raises(FedloraError, match="overflow"):
        codec.pack(sent, [(4,)])

    sent[0] = 0.9 * LARGEST
    back = codec.unpack(codec.pack(sent, [(4,)]), [(4,)])
    assert float((back.double() - sent).abs().max()) <= codec.bound(sent, [(4,)])
