import pytest

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bench.comm.floor import rounds_floor
from fedlora.config import AggregatorPart

SPEC = AdapterSpec("b", (LayerSpec("q", 8, 6, 2),), 4.0, head=(("bias", (3,)),))
WHOLE = 2 * (8 + 6 - 2)


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        ("fedavg", WHOLE + 3, WHOLE + 3),
        ("ffa", 2 * 6 + 3, 2 * 6 + 3),
        ("fedsa", 2 * 8 + 3, 2 * 8 + 3),
        ("scaffold", WHOLE + 3 + 2 * 14 + 3, WHOLE + 3 + 2 * 14 + 3),
        # Three clients of rank 2: what all have beside the adapter, or instead of it.
        ("fedex", WHOLE + 3, WHOLE + 3 + 4 * (8 + 6 - 4)),
        ("flora", WHOLE + 3, 3 + 6 * (8 + 6 - 6)),
    ],
)
def test_a_round_counts_the_parts_that_its_duty_sends(method, up, down):
    built = AggregatorPart(name=method).build()

    assert rounds_floor(built, [SPEC] * 3, 2) == 2 * 3 * 4 * (up + down)


def test_rounds_that_alternate_send_one_factor_each():
    built = AggregatorPart(name="rolora").build()
    one, both = (rounds_floor(built, [SPEC], rounds) for rounds in (1, 2))

    # What was trained goes up, and comes down with the next question, which trains the other.
    assert one in (2 * 4 * (2 * 8 + 3), 2 * 4 * (2 * 6 + 3))
    assert both == 2 * 4 * (2 * 8 + 3 + 2 * 6 + 3)


def test_clients_that_prune_have_no_floor_that_could_be_foreseen():
    assert rounds_floor(AggregatorPart(name="hetlora").build(), [SPEC], 2) is None
