"""Boxes and location tokens, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora.errors import FedloraError
from fedlora.tasks.detection.locations import BINS, Found, dequantise, from_text, quantise, to_text

SIZES = st.floats(1, 1e4)
SHARES = st.tuples(*[st.floats(0, 1)] * 4)
ALL_BINS = st.tuples(*[st.integers(0, BINS - 1)] * 4)
LABELS = st.text(min_size=1).filter(
    lambda text: text.strip() == text and not set("<>") & set(text) and text.isprintable()
)


@given(SIZES, SIZES, SHARES)
def test_a_corner_moves_by_half_a_bin_at_most(width: float, height: float, shares: tuple):
    box = tuple(share * size for share, size in zip(shares, (width, height) * 2, strict=True))

    back = dequantise(quantise(box, width, height), width, height)

    for corner, again, size in zip(box, back, (width, height) * 2, strict=True):
        assert abs(corner - again) <= size / (2 * BINS) * (1 + 1e-9)


@given(SIZES, SIZES, ALL_BINS)
def test_bins_are_kept_exactly(width: float, height: float, bins: tuple):
    assert quantise(dequantise(bins, width, height), width, height) == bins


@given(SIZES, st.tuples(*[st.floats(-1e6, 1e6)] * 4))
def test_what_lies_outside_ends_at_the_edge(size: float, box: tuple):
    assert all(0 <= value < BINS for value in quantise(box, size, size))


@given(st.lists(st.tuples(LABELS, ALL_BINS), max_size=5))
def test_text_leads_back_to_the_objects(pairs: list):
    objects = [Found(label, bins) for label, bins in pairs]

    assert from_text(to_text(objects)) == objects


def test_one_label_may_have_several_boxes():
    text = "dog" + "".join(f"<loc_{n}>" for n in range(1, 9)) + " cat<loc_0><loc_0><loc_9><loc_9>"

    assert from_text(text) == [
        Found("dog", (1, 2, 3, 4)),
        Found("dog", (5, 6, 7, 8)),
        Found("cat", (0, 0, 9, 9)),
    ]
    assert from_text("") == []


@pytest.mark.parametrize(
    "text",
    [
        "dog",
        "dog<loc_1><loc_2><loc_3>",
        "<loc_1><loc_2><loc_3><loc_4>",
        "dog<loc_1><loc_2><loc_3><loc_1000>",
        "dog<loc_1><loc_2><loc_3><loc_4> cat",
        "dog<loc_1><loc_2><loc_3><loc_4><loc_5>",
        "dog <b> x<loc_1><loc_2><loc_3><loc_4>",
    ],
)
def test_what_is_no_object_is_refused(text: str):
    with pytest.raises(FedloraError, match="write a label and four"):
        from_text(text)
