"""The same federation three times: in peace, under attack, and under attack behind defences.

    python simulations/poisoning.py [ATTACK]

ATTACK is a name of docs/trust.md, sign_flip when absent.
"""

import argparse
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

import fedlora
from fedlora import registry
from fedlora.attacks.backdoor import BackdoorConfig
from fedlora.bank import Bank
from fedlora.cli.console import watching
from fedlora.client.client import Client
from fedlora.evaluation.backdoor import success

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("attack", nargs="?", default="sign_flip", choices=registry.names("attacks"))
attack = parser.parse_args().attack
console = Console()

# The data: Fashion-MNIST under 20 rotations and contrasts, one client each, and five newcomers.
# Screening is off and the rounds are plain averages, until the third time.
peace = [
    "tasks.bank=20",
    "tasks.held_out=5",
    "warm_start.rounds=4",
    "warm_start.weights=equal",
    "generator.name=topk",
    "screening.enabled=false",
]

# The attackers: every fifth client of the bank, drawn by the seed.
attacked = [*peace, f"attackers.attack.name={attack}", "attackers.share=0.2"]

# The defences: rounds that leave out a fifth of the clients, those furthest from their neighbours
# in product space, and a bank that sets aside what stands out.
defended = [
    *attacked,
    "warm_start.aggregation.name=multi_krum",
    "warm_start.aggregation.share=0.2",
    "screening.enabled=true",
]

# The newcomers: accuracy of what they were given, each time; and of their test images with a
# backdoor's mark, how many are taken for its target, which is a rate of errors without a backdoor.
lines = Table("federation", "generated", "local training", "marked, taken for it", "clients lost")
for name, overrides in {"peace": peace, "attacked": attacked, "defended": defended}.items():
    config = fedlora.load(
        Path(__file__).parents[1] / "configs/quickstart.yaml",
        [f"name=poisoning_{name}", *overrides],
    )
    folder = fedlora.create(config, Path("runs"))
    with watching() as observer:
        results = fedlora.run(config, folder, observer)
    means = {line["method"]: line["value"]["mean"] for line in results["summary"]}
    lost = len({line["client"] for line in results["lost"]})
    client, handed = Client(config, 0), Bank.open(folder / "seed-0" / "newcomers")
    desks = {record.digest: client.desk(record.client) for record in handed.records()}
    fooled = mean(
        success(desk.objective, handed.load(digest), desk.test, BackdoorConfig())
        for digest, desk in desks.items()
    )
    shown = (means["generated"], means["local"], fooled)
    lines.add_row(name, *(f"{value:.3f}" for value in shown), str(lost))
console.print(lines)
