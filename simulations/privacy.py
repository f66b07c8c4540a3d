"""What protection costs and what it hides: one client, with less and less noise.

The client trains on 200 turned images. For each budget: the accuracy of its adapter on other
images, and how well somebody who holds the adapter tells the images that it was trained on.

    python simulations/privacy.py
"""

import argparse

from rich.console import Console
from rich.table import Table

from fedlora.client.client import Client
from fedlora.config import from_dict
from fedlora.config.privacy import Budget
from fedlora.evaluation.membership import membership
from fedlora.finetune.local import fresh, put, train
from fedlora.finetune.private import Protection
from fedlora.privacy.accounting import Steps, noise_multiplier

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

TRAIN, EPOCHS, BATCH = 200, 8, 50
BUDGETS = (1.0, 4.0, 16.0, None)

config = from_dict(
    {
        "name": "privacy",
        "backbone": {"name": "tiny_vit"},
        "lora": {"rank": 4, "alpha": 8},
        "tasks": {
            "name": "image_domains",
            "bank": 4,
            "held_out": 1,
            "splits": {"train": TRAIN, "validation": 20, "test": 300},
        },
        "finetune": {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 1e-2},
    },
    "simulations/privacy.py",
)
desk = Client(config, 0).desk(3)
start = fresh(desk.objective, 0)
put(desk.objective, start)
base = desk.objective.score(desk.test)

out = Table("epsilon", "noise", "accuracy", "members told from others", title=desk.seat.task)
out.add_row("no training", "", f"{base['accuracy']:.3f}", "0.50")
for epsilon in BUDGETS:
    protection = None
    if epsilon is not None:
        steps = Steps(BATCH / TRAIN, EPOCHS * TRAIN // BATCH)
        noise = noise_multiplier(Budget(epsilon=epsilon), [steps])
        protection = Protection(clip=1.0, noise=noise, repeats=True)
    job = (desk.objective, start, desk.train, None, config.finetune, 0)
    adapter = train(*job, protection=protection).adapters[-1]
    put(desk.objective, adapter)
    accuracy = desk.objective.score(desk.test)["accuracy"]
    told = membership(desk.objective, adapter, desk.train, desk.test).chance
    noise = f"{protection.noise:.2f}" if protection else "none"
    out.add_row(
        "none" if epsilon is None else f"{epsilon:g}", noise, f"{accuracy:.3f}", f"{told:.2f}"
    )
Console().print(out)
