import subprocess
import sys

import numpy as np
import pytest

from fedlora.config import ShardsConfig
from fedlora.errors import FedloraError
from fedlora.tasks.shards import shard

LABELS = np.repeat(np.arange(5), 80)
KINDS = [
    ShardsConfig(per_task=4),
    ShardsConfig(per_task=4, partition="dirichlet", alpha=0.5),
    ShardsConfig(per_task=5, partition="pathological", classes_per_shard=2),
]


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.partition)
def test_shards_cover_every_row_once_and_depend_on_the_seed_alone(config):
    parts = shard(LABELS, config, seed=3)

    assert len(parts) == config.per_task
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))
    assert all(np.all(np.diff(part) > 0) for part in parts)
    again = shard(LABELS, config, seed=3)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))
    other = shard(LABELS, config, seed=4)
    assert any(not np.array_equal(one, two) for one, two in zip(parts, other, strict=True))


def test_iid_shards_are_alike_though_the_rows_are_sorted():
    for part in shard(LABELS, KINDS[0], seed=0):
        assert len(part) == 100
        assert np.bincount(LABELS[part], minlength=5).min() > 8


def test_a_lower_alpha_makes_shards_more_uneven():
    def spread(alpha):
        config = ShardsConfig(per_task=4, partition="dirichlet", alpha=alpha, min_examples=1)
        counts = [np.bincount(LABELS[p], minlength=5) for p in shard(LABELS, config, seed=0)]
        return np.std(counts)

    assert spread(0.2) > 2 * spread(100.0)


def test_pathological_shards_hold_few_classes():
    for part in shard(LABELS, KINDS[2], seed=0):
        assert len(np.unique(LABELS[part])) == 2


def test_too_small_shards_are_refused():
    few = "400 training examples do not give 80 iid shards of shards.min_examples=8; lower"
    with pytest.raises(FedloraError, match=few) as iid:
        shard(LABELS, ShardsConfig(per_task=80), seed=0)
    assert "alpha" not in str(iid.value)
    with pytest.raises(FedloraError, match=r"do not give 4 dirichlet .*, or raise shards\.alpha"):
        shard(LABELS, ShardsConfig(per_task=4, partition="dirichlet", min_examples=99), seed=0)
    with pytest.raises(FedloraError, match=r"fewer than shards\.min_examples=401; give it more"):
        shard(LABELS, ShardsConfig(min_examples=401), seed=0)
    with pytest.raises(FedloraError, match="7 of 5 classes"):
        shard(LABELS, KINDS[2].model_copy(update={"classes_per_shard": 7}), seed=0)


def test_one_shard_imports_neither_flower_nor_ray():
    code = (
        "import sys, numpy as np\n"
        "from fedlora.config import ShardsConfig\n"
        "from fedlora.tasks.shards import shard\n"
        "assert len(shard(np.zeros(20, dtype=int), ShardsConfig(), 0)[0]) == 20\n"
        "print([m for m in ('flwr', 'flwr_datasets', 'ray', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
