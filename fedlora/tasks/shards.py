"""One task's training examples dealt to several clients."""

import warnings
from typing import Any

import numpy as np

from fedlora import seeding
from fedlora.config import ShardsConfig
from fedlora.errors import FedloraError


def shard(labels: np.ndarray, config: ShardsConfig, seed: int) -> list[np.ndarray]:
    """Disjoint sorted row numbers, one int64 array a shard.

    iid: a shuffle in equal parts; the others are the partitioners of flwr-datasets, whose import
    takes seconds. dirichlet: every class by proportions from Dirichlet(alpha)
    (Hsu, Qi, Brown 2019, arXiv:1909.06335). pathological: `classes_per_shard` classes a shard
    (McMahan et al. 2017, arXiv:1602.05629), and rows of classes that no shard has are in none.

    Args:
        labels: (n,) int64; all zero where a task has none, and then only iid makes sense.
        config: how many shards, and which partition.
        seed: of the shuffle and of the partitioner.

    Raises:
        FedloraError: a shard would have fewer than `min_examples`, or more classes than there are.
    """
    if config.per_task == 1:
        parts = [np.arange(len(labels))]
    elif config.per_task * config.min_examples > len(labels):
        raise _too_few(len(labels), config)
    else:
        parts = _partition(labels, config, seed)
    if min(len(part) for part in parts) < config.min_examples:
        raise _too_few(len(labels), config)
    return parts


def _partition(labels: np.ndarray, config: ShardsConfig, seed: int) -> list[np.ndarray]:
    order = np.random.default_rng(seeding.derive(seed, "shards")).permutation(len(labels))
    if config.partition == "iid":
        return [np.sort(part) for part in np.array_split(order, config.per_task)]
    from datasets import Dataset

    partitioner = _partitioner(labels, config, seeding.derive(seed, "partition") % 2**31)
    partitioner.dataset = Dataset.from_dict({"label": labels[order], "row": order})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one a failed draw; what counts is the last
            dealt = [partitioner.load_partition(i)["row"] for i in range(config.per_task)]
    except ValueError as error:  # no Dirichlet draw gave every shard enough
        raise _too_few(len(labels), config) from error
    return [np.sort(np.array(part, dtype=np.int64)) for part in dealt]


def _partitioner(labels: np.ndarray, config: ShardsConfig, seed: int) -> Any:
    from flwr_datasets import partitioner

    if config.partition == "dirichlet":
        return partitioner.DirichletPartitioner(
            config.per_task, "label", config.alpha, config.min_examples, seed=seed
        )
    classes = len(np.unique(labels))
    if config.classes_per_shard > classes:
        raise FedloraError(
            f"shards.classes_per_shard: {config.classes_per_shard} of {classes} classes; lower it"
        )
    return partitioner.PathologicalPartitioner(
        config.per_task, "label", config.classes_per_shard, seed=seed
    )


def _too_few(examples: int, config: ShardsConfig) -> FedloraError:
    found, least = f"{examples} training examples", config.min_examples
    if config.per_task == 1:
        return FedloraError(
            f"{found}, fewer than shards.min_examples={least}; give it more, or lower that key"
        )
    evenly = ", or raise shards.alpha" if config.partition == "dirichlet" else ""
    return FedloraError(
        f"{found} do not give {config.per_task} {config.partition} shards of"
        f" shards.min_examples={least}; lower shards.per_task or shards.min_examples{evenly}"
    )
