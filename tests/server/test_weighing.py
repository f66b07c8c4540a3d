"""No client's own word gives it an average to itself."""

from hypothesis import given
from hypothesis import strategies as st

from fedlora.server.weighing import MOST_TIMES, believed

COUNTS = st.floats(1, 1e9)


def test_a_boast_among_honest_clients_counts_ten_of_them() -> None:
    weights = believed([10**9, *[320] * 47])
    assert weights == [MOST_TIMES * 320, *[320] * 47]


@given(st.lists(COUNTS, min_size=1, max_size=9))
def test_no_weight_is_above_ten_medians_and_no_other_changes(counts: list[float]) -> None:
    weights = believed(counts)
    most = MOST_TIMES * sorted(counts)[(len(counts) - 1) // 2]
    assert weights == [count if count <= most else most for count in counts]
