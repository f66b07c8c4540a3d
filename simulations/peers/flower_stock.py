"""A Flower app in the style of FlowerTune, Flower's published example for LoRA.

https://flower.ai/docs/examples/flowertune-llm.html: for every message the client loads its
partition and the model, wraps it with PEFT, loads the received adapter into it, makes a Trainer
of transformers and trains, and replies with the adapter and its metrics.
"""

import tempfile

from datasets import Dataset
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from transformers import Trainer, TrainingArguments

from simulations.peers import flower
from simulations.peers.federation import Federation
from simulations.peers.model import Learner

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train on the node's own partition."""
    federation, client = flower.here(), int(context.node_config["partition-id"])
    settings = federation.settings
    trainset = Dataset.from_dict(
        {name: column.numpy() for name, column in federation.rows(client).items()}
    ).with_format("torch")

    model = Learner(federation)
    model.write(msg.content["arrays"].to_torch_state_dict())
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            num_train_epochs=1,
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            max_grad_norm=settings["clip_norm"],
            lr_scheduler_type="linear",
            optim="adamw_torch",
            train_sampling_strategy="sequential",  # the rows are in the client's own order
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=trainset)
        results = trainer.train()

    metrics = {"train_loss": results.training_loss, "num-examples": len(trainset)}
    content = RecordDict(
        {"arrays": ArrayRecord(model.read()), "metrics": MetricRecord(metrics | {"client": client})}
    )
    return Message(content=content, reply_to=msg)


def run(federation: Federation) -> None:
    flower.run(app, federation)
