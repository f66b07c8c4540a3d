import pytest

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bench.comm.cases import CODECS, LOW_RANK, PLAIN
from fedlora.bench.comm.distortion import bits_of

SPEC = AdapterSpec("b", (LayerSpec("q", 256, 256, 8),), 16.0)


@pytest.mark.parametrize("name", [name for name in CODECS if name not in (PLAIN, LOW_RANK)])
def test_no_codec_sends_fewer_bits_than_its_error_costs(name):
    sent, fewest = bits_of(CODECS[name], SPEC)

    assert 0 < fewest < sent


def test_four_bits_are_near_what_four_bits_can_do():
    sent, fewest = bits_of(CODECS["nf4"], SPEC)

    assert (sent, fewest) == (pytest.approx(4.25, abs=0.01), pytest.approx(3.4, abs=0.2))


def test_what_loses_nothing_or_a_products_rank_alone_has_no_such_floor():
    assert bits_of(CODECS[PLAIN], SPEC) == (32, None)
    assert bits_of(CODECS[LOW_RANK], SPEC) == (8, None)


def test_a_difference_is_measured_by_its_own_size():
    whole, (_, difference) = (
        bits_of(CODECS["bf16"], SPEC),
        bits_of({"codec": {"name": "delta", "inner": {"name": "bf16"}}}, SPEC),
    )

    assert difference == pytest.approx(whole[1], abs=0.3)
