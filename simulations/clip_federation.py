"""A federation of somebody's CLIP, before and after it is wrapped: adapter bytes against full.

Ten clients hold rotated clothes, each a few classes of them (Dirichlet 0.5). The loop is plain
federated averaging and knows nothing of LoRA: the same function trains the whole model and the
wrapped one.

    python simulations/clip_federation.py
"""

import argparse

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedlora.config import ShardsConfig
from fedlora.lora import CLIPLoRAWrapper, FederatedCLIPModel, LoRAConfig
from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.shards import shard
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

CLIENTS, ROUNDS, BATCH = 10, 8, 32

# The data: clothes turned by 40 degrees, which the CLIP has never seen, dealt to the clients.
table = FashionMnist(Config()).load()
turned = ImageTransform(rotation=40)
rng = np.random.default_rng(0)
train = table.examples.take(rng.permutation(np.flatnonzero(~table.test))[:2000])
test = table.examples.take(rng.permutation(np.flatnonzero(table.test))[:1000])
skew = ShardsConfig(per_task=CLIENTS, partition="dirichlet", alpha=0.5)
shards = shard(train.labels, skew, seed=0)


def federated_averaging(name, model, learning_rate):
    """Rounds of local training and averaging; test accuracy, and bytes a client and round."""
    prepared = model.prepare(torch.from_numpy(turned.apply(train.inputs, seed=0)))
    judged = model.prepare(torch.from_numpy(turned.apply(test.inputs, seed=1)))
    model.learning_rate = learning_rate
    order = torch.Generator().manual_seed(0)
    shared = model.get_parameters()
    for _ in track(range(ROUNDS), f"{name}: rounds", console=Console(stderr=True)):
        sums = [np.zeros(values.shape) for values in shared]
        for rows in shards:
            model.set_parameters(shared)
            for batch in torch.from_numpy(rows)[torch.randperm(len(rows), generator=order)].split(
                BATCH
            ):
                model.train_step(prepared[batch], train.labels[batch.numpy()])
            share = len(rows) / len(train)
            sums = [a + share * b for a, b in zip(sums, model.get_parameters(), strict=True)]
        shared = [total.astype(np.float32) for total in sums]
    model.set_parameters(shared)
    sent = 2 * sum(values.nbytes for values in shared)
    return model.evaluate(judged, test.labels)["accuracy"], sent


# The models: CLIP's vision tower and a head made from the names of the classes. The wrapped one
# sends the adapter alone.
torch.manual_seed(0)
plain = FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES)
seen = plain.evaluate(
    plain.prepare(torch.from_numpy(turned.apply(test.inputs, seed=1))), test.labels
)
wrapped = CLIPLoRAWrapper(
    FederatedCLIPModel("tiny_clip", 10, LABEL_NAMES), LoRAConfig.for_clip_model(r=4), ["encoder"]
).apply_lora_to_federated_model()

# The rounds, and the table.
out = Table(
    "model", "trainable", "accuracy", "bytes a client and round", title="turned by 40 degrees"
)
out.add_row("zero-shot", "0", f"{seen['accuracy']:.3f}", "0")
for name, model, rate in (("full", plain, 5e-4), ("LoRA, r 4", wrapped, 3e-3)):
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    accuracy, sent = federated_averaging(name, model, rate)
    out.add_row(name, f"{trainable:,}", f"{accuracy:.3f}", f"{sent:,}")
Console().print(out)
