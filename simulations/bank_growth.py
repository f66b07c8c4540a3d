"""A server that learns to generate in rounds, beside one that only averages.

python simulations/bank_growth.py [FOLDER]
"""

import argparse
from pathlib import Path

from rich.console import Console

import fedlora
from fedlora.cli.console import watching
from fedlora.report import table

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", nargs="?", type=Path, default=Path("runs", "bank_growth"))
root = parser.parse_args().folder
console = Console()

# The data: pairs of a rotation and a corruption. Newcomers bring pairs that nobody has, of a
# rotation and a corruption that somebody has.
small = ["tasks.held_out=8", "evaluation.few_labels=32"]

# Two federations of the same clients and as many rounds. In one, rounds average what all clients
# return into one common start. In the other, what a client returns counts for tasks like its own:
# from the third round on, each client trains what was generated for its task.
ways = {
    "averaged": ["warm_start.rounds=26", "growth.rounds=0"],
    "grown": ["warm_start.rounds=2", "growth.rounds=24"],
}

# The table of each: `generated` is kriging over the fine-tuned bank, `grown` what the rounds
# themselves have learned, `topk` the mean of the nearest adapters of the bank, `chosen` whichever
# of them all serves the bank's own tasks best, each left out in turn.
for name, rounds in ways.items():
    config = fedlora.load(
        Path(__file__).parents[1] / "configs/compositional.yaml", [f"name={name}", *small, *rounds]
    )
    with watching() as observer:
        fedlora.run(config, root / name, observer)
    console.print(f"\n[bold]{name}[/bold]")
    console.print(table(root / name))
