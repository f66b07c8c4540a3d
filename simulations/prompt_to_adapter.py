"""From prompts to an adapter: clients describe their tasks by texts that never leave them.

python simulations/prompt_to_adapter.py [RUN_FOLDER]

Needs `make data ONLY=clothing_reviews`.
"""

import argparse
from pathlib import Path

from rich.console import Console

import fedlora
from fedlora.adapter.product import distance, norm
from fedlora.backbone.text_encoder import open_encoder
from fedlora.cli.console import watching
from fedlora.cli.errors import one_line_errors
from fedlora.generators.hyperconv import HyperConv
from fedlora.report import table

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", nargs="?", type=Path, metavar="RUN_FOLDER")
folder = parser.parse_args().folder
console = Console()

# The data: reviews of clothes. Each client tells four classes of clothes apart, another four each;
# four newcomers bring classes in combinations that nobody else has.
config = fedlora.load(
    Path("configs/hyperconv_text.yaml"),
    ["name=prompt_to_adapter", "tasks.bank=12", "tasks.held_out=4", "finetune.epochs=2"],
)

# The clients: each fine-tunes an adapter, and sends it with the encodings of 16 of its reviews. The
# server deals these into groups of four and learns which adapter belongs to such a group.
with one_line_errors(), watching() as observer:
    folder = folder or fedlora.create(config, Path("runs"))
    fedlora.run(config, folder, observer)
console.print(table(folder))

# Somebody types four prompts; the encoder reads them, and the generator answers with an adapter.
generator = HyperConv.load(folder / "seed-0" / "generator")
asked = {
    "knitwear": ["a warm wool sweater", "soft cashmere", "a cozy cardigan", "chunky knit"],
    "swimwear": ["a bikini for the beach", "swimsuit with straps", "the pool", "a tankini"],
}
made = {
    name: generator.sample(open_encoder().encode(texts).view(1, -1), seed=0)[0]
    for name, texts in asked.items()
}
apart = distance(made["knitwear"], made["swimwear"]) / norm(made["knitwear"])
console.print(f"\nthe two adapters lie {apart:.0%} of their norm apart")
