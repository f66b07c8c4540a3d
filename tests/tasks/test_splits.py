import numpy as np
import pytest

from fedlora.tasks.contract import Examples, Table
from fedlora.tasks.splits import Splits, split_rows
from fedlora.tasks.splits import test_mask as mask_of


def table(texts, test=None):
    return Table("language-modelling", Examples(texts), test=test)


def test_a_copy_of_a_test_row_never_trains():
    texts = [f"text {n % 40}" for n in range(100)]

    drawn = mask_of(table(texts), seed=0)
    own = mask_of(table(["a", "b", "a", "c"], np.array([True, False, False, False])), seed=0)

    assert not {texts[i] for i in np.flatnonzero(drawn)} & {
        texts[i] for i in np.flatnonzero(~drawn)
    }
    assert own.tolist() == [True, False, True, False]


def test_a_fifth_is_kept_for_testing_and_depends_on_the_seed():
    texts = [str(n) for n in range(200)]

    assert mask_of(table(texts), seed=0).sum() == 40
    assert np.array_equal(mask_of(table(texts), seed=0), mask_of(table(texts), seed=0))
    assert not np.array_equal(mask_of(table(texts), seed=0), mask_of(table(texts), seed=1))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (Splits(train=50, validation=10, test=30), (50, 10, 30)),
        (Splits(train=500, validation=500, test=500), (128, 32, 40)),
    ],
)
def test_splits_are_disjoint_and_of_at_most_the_sizes_asked(sizes, expected):
    rows = np.arange(1000, 1200)
    mask = np.zeros(2000, dtype=bool)
    mask[1000:1040] = True

    drawn = split_rows(rows, mask, sizes, seed=0, task="a")

    assert tuple(len(drawn[split]) for split in ("train", "validation", "test")) == expected
    every = np.concatenate(list(drawn.values()))
    assert len(set(every)) == len(every)
    assert set(every) <= set(rows)
    assert mask[drawn["test"]].all()
    assert not np.array_equal(drawn["train"], split_rows(rows, mask, sizes, 0, "b")["train"])
