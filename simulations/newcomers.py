"""The story of fedlora in one script: clients, a bank, a generator, newcomers, a table.

    python simulations/newcomers.py [RUN_FOLDER]

With the folder of a run of it that was killed, that run goes on.
"""

import argparse
from pathlib import Path

from rich.console import Console

import fedlora
from fedlora.cli.console import watching
from fedlora.cli.errors import one_line_errors
from fedlora.report import build, table

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", nargs="?", type=Path, metavar="RUN_FOLDER")
folder = parser.parse_args().folder
console = Console()

# The data: Fashion-MNIST under 24 different rotations and contrasts, one client each, and six
# newcomers whose rotation and contrast nobody else has.
config = fedlora.load(
    Path(__file__).parents[1] / "configs/quickstart.yaml",
    ["name=newcomers", "tasks.bank=24", "tasks.held_out=6", "warm_start.rounds=6"],
)

# The clients: each fine-tunes a LoRA on its own images and sends the adapter alone. The server
# keeps the adapters, learns what they look like given a task vector, and hands every newcomer
# one adapter in one message.
if folder:
    with one_line_errors():
        config = fedlora.resume(folder)
else:
    folder = fedlora.create(config, Path("runs"))
with watching() as observer:
    fedlora.run(config, folder, observer)

# The bank: every adapter with its task, client and metrics.
bank = fedlora.Bank.open(folder / "seed-0" / "bank")
console.print(f"\nthe bank holds {len(bank)} adapters of {bank.spec.size:,} values each")

# The newcomers: accuracy by method, and the share of the gap between base and local training.
console.print(table(folder))
console.print(f"report: {build(folder)}", soft_wrap=True)
