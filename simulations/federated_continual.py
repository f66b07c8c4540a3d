"""A stream of digits in a federation: skewed clients, one branch a task, statistics alone sent.

Five clients whose classes are dealt by a Dirichlet distribution learn five tasks. InfLoRA's branch
is designed by the server from sums of x x^T; sequential LoRA averages what it trains.

    python simulations/federated_continual.py
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

import fedlora
from fedlora.cli.console import watching
from fedlora.config.continual import MethodPart

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

RUNS = {
    "sequential LoRA": {"method": MethodPart(name="seq_lora")},
    "frozen": {"method": MethodPart(name="frozen")},
    "InfLoRA": {},
    "InfLoRA, statistics of 16 directions": {"sketch": 16},
    "InfLoRA, clients in orders of their own": {"order": "shuffled"},
}

out = Table("run", "task known", "forgetting", "bytes of statistics", title="beta 0.3")
for title, changes in RUNS.items():
    # The data and the rounds: those of the configuration, more skewed.
    name = "name=stream_" + "".join(c if c.isalnum() else "_" for c in title)
    config = fedlora.load(
        Path(__file__).parents[1] / "configs/federated_inflora.yaml", [name, "shards.alpha=0.3"]
    )
    continual = config.continual.model_copy(update=changes)
    config = config.model_copy(update={"continual": continual})
    with watching() as observer:
        results = fedlora.run(config, fedlora.create(config, Path("runs")), observer)
    # What came of it.
    found = results["stream"]["test"]
    sent = results["bytes"]["by_purpose"]["statistics"]["up"]["serialised"]
    cells = (f"{found[key]['mean']:.3f}" for key in ("within_final", "within_forgetting"))
    out.add_row(title, *cells, f"{sent:,}")

# The table.
Console().print(out)
