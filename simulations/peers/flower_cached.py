"""The same Flower app as a careful author writes it: the model stays in the process.

Flower's Ray actors live as long as the simulation, and so do the globals of their modules: each
loads the model once, resets the adapter in place for every message, and trains in a plain loop.
"""

from functools import lru_cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from simulations.peers import flower, model
from simulations.peers.federation import Federation

app = ClientApp()


@lru_cache(maxsize=1)
def cached() -> tuple[Federation, model.Learner]:
    torch.set_num_threads(1)
    federation = flower.here()
    return federation, model.Learner(federation)


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train on the node's own partition."""
    (federation, learner), client = cached(), int(context.node_config["partition-id"])
    rows = federation.rows(client)
    learner.reset(msg.content["arrays"].to_torch_state_dict())
    model.train(learner, federation, rows)
    metrics = {"num-examples": len(next(iter(rows.values()))), "client": client}
    content = RecordDict({"arrays": ArrayRecord(learner.copy()), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


def run(federation: Federation) -> None:
    flower.run(app, federation)
