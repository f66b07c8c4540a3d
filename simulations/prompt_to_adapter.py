"""From prompts to an adapter: clients describe their tasks by texts that never leave them.

python simulations/prompt_to_adapter.py [RUN_FOLDER]

Needs `make data ONLY=clothing_reviews`.
"""

import argparse
from pathlib import Path

from rich.console import Console

import fedlora
from fedlora.backbone.text_encoder import open_encoder
from fedlora.bank import Bank
from fedlora.cli.console import watching
from fedlora.cli.errors import one_line_errors
from fedlora.client.client import Client
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.hyperconv import HyperConv
from fedlora.pipeline.experiment.judging import nearest_tasks
from fedlora.report import table

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", nargs="?", type=Path, metavar="RUN_FOLDER")
folder = parser.parse_args().folder
console = Console()

# The data: reviews of clothes. Each client tells four classes of clothes apart, another four each;
# four newcomers bring classes in combinations that nobody else has.
config = fedlora.load(
    Path(__file__).parents[1] / "configs/hyperconv_text.yaml",
    ["name=prompt_to_adapter", "tasks.bank=12", "tasks.held_out=4", "finetune.epochs=2"],
)

# The clients: each fine-tunes an adapter, and sends it with the encodings of 16 of its reviews. The
# server deals these into groups of four and learns which adapter belongs to such a group.
with one_line_errors(), watching() as observer:
    folder = folder or fedlora.create(config, Path("runs"))
    fedlora.run(config, folder, observer)
console.print(table(folder))

# Whether it listens: reviews that no client sent or trained on, four at a time. The adapter that
# they lead to should lie nearest to that of the client whose reviews they are.
bank = Bank.open(folder / "seed-0" / "bank").training_bank()
by_task = {task: [adapter] for task, adapter in zip(bank.tasks, bank.adapters, strict=True)}
generator = HyperConv.load(folder / "seed-0" / "generator")
clients = Client(config, seed=0)
right = []
for seat in clients.seats[: config.tasks.bank]:
    desk = clients.desk(seat.client)
    unseen = task_vector(desk.objective, desk.test, config.task_vector)
    made = generator.sample(unseen.view(4, -1), seed=0)
    right += [task == seat.task for task in nearest_tasks(made, by_task)]
console.print(
    f"\nof four unseen reviews, {sum(right) / len(right):.0%} lead nearest to their own client's"
    f" adapter; chance {1 / len(by_task):.0%}"
)

# Somebody types four prompts; the encoder reads them, and the generator answers with an adapter.
asked = {
    "knitwear": ["a warm wool sweater", "soft cashmere", "a cozy cardigan", "chunky knit"],
    "swimwear": ["a bikini for the beach", "swimsuit with straps", "the pool", "a tankini"],
}
encoder = open_encoder()
for name, texts in asked.items():
    made = generator.sample(encoder.encode(texts).view(1, -1), seed=0)
    console.print(f"{name}: nearest to the client of {nearest_tasks(made, by_task)[0]}")
