"""Methods of aggregation side by side: what their bytes buy on clients of mixed ranks.

Four tasks of rotated, dimmed clothes, each dealt to three clients by a Dirichlet partition; the
clients have ranks 1, 2 and 4. After each round every client says how well it is served.

    python simulations/aggregation_shootout.py
"""

import argparse

from rich.console import Console
from rich.table import Table

from fedlora.bench.comm.cases import MIXED, SMALLEST, mixed
from fedlora.bench.comm.curve import at_bytes, curve
from fedlora.bench.comm.families import VISION
from fedlora.cli.console import watching

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

# The methods that can mix ranks, and averaging at the rank that every client has.
federations = {name: mixed(VISION, name) for name in (*MIXED, SMALLEST)}

# The rounds, in this process; each curve is accuracy against bytes.
with watching() as observer:
    observer.phase("methods", len(federations))
    curves = {}
    for name, config in federations.items():
        curves[name] = curve(config, seed=0)
        observer.advance()

# The table: at the end, and at as many bytes as the cheapest of them sent.
budget = min(points[-1].bytes for points in curves.values())
out = Table("method", "MB", "accuracy", f"accuracy at {budget / 1e6:.2f} MB")
for name, points in curves.items():
    last = points[-1]
    out.add_row(
        name, f"{last.bytes / 1e6:.2f}", f"{last.value:.3f}", f"{at_bytes(points, budget):.3f}"
    )
Console().print(out)
