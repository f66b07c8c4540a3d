"""Several clients a task, more and more unlike each other: what skew costs a newcomer.

Each of twelve bank tasks is dealt to three clients by a Dirichlet partition of its classes; the
smaller alpha, the fewer classes a client sees.

    python simulations/noniid_shards.py
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

import fedlora
from fedlora.cli.console import watching

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

METHODS = ("base", "mean", "topk", "generated", "local")

out = Table("Dirichlet alpha", *METHODS, title="accuracy on unseen tasks")
for alpha in (100.0, 1.0, 0.3):
    # The data: the same tasks every time, dealt differently.
    config = fedlora.load(
        Path(__file__).parents[1] / "configs/quickstart.yaml",
        [
            f"name=noniid_{alpha:g}".replace(".", "_"),
            "tasks.bank=12",
            "tasks.held_out=4",
            "shards.per_task=3",
            "shards.partition=dirichlet",
            f"shards.alpha={alpha}",
            "warm_start.rounds=5",
        ],
    )
    # The rounds, and the newcomers.
    with watching() as observer:
        results = fedlora.run(config, fedlora.create(config, Path("runs")), observer)
    mean = {s["method"]: s["value"]["mean"] for s in results["summary"]}
    out.add_row(f"{alpha:g}", *(f"{mean[method]:.3f}" for method in METHODS))

# The table.
Console().print(out)
