"""A stream of digits on one machine: what is forgotten, and by whom.

Five tasks of two digits each, learned in turn by sequential LoRA, by InfLoRA with and without
class alignment, and by heads alone on a frozen model.

    python simulations/continual_stream.py
"""

import argparse

from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedlora import registry
from fedlora.backbone import open_slot
from fedlora.config import BackboneConfig, LoraSection, TrainSection
from fedlora.continual.learner import Learner
from fedlora.continual.metrics import summarise
from fedlora.continual.stream import encode_stream
from fedlora.section import parse

argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()

METHODS = {
    "sequential LoRA": ("seq_lora", {}),
    "InfLoRA": ("inflora", {"threshold_last": 0.99, "exhausted": "zero"}),
    "InfLoRA, class alignment": ("inflora_ca", {"threshold_last": 0.99, "exhausted": "zero"}),
    "frozen, class alignment": ("frozen", {"align": {}}),
}

# The model: a very small ViT that has seen clothes, never a digit.
lora = LoraSection(rank=4, alpha=4, targets=("k_proj", "v_proj"))
slot = open_slot(BackboneConfig(name="mini_vit"), lora, "cpu")

# The data: ten digits in five tasks.
family = registry.find("tasks", "class_stream")
stream = {"source": {"name": "digits", "size": 8}, "splits": {"train": 100, "test": 120}}
tasks = encode_stream(family(parse(family.Config, stream)), slot, 128)

out = Table("method", "task known", "task not known", "forgetting", title="after five tasks")
for title, (name, options) in METHODS.items():
    # The learner, and the stream: one task after another, none seen twice.
    method = registry.find("continual.methods", name)
    settings = TrainSection(epochs=5, learning_rate=5e-3)
    learner = Learner(slot, method(parse(method.Config, options)), tasks, settings, seed=0)
    within, among = [], []
    for number in track(range(len(tasks)), title):
        learner.begin_task(number)
        learner.train()
        learner.end_task()
        # After each: how the tasks met so far are done.
        scores = [learner.scores().get(task) for task in range(len(tasks))]
        within.append([score and score.within / score.rows for score in scores])
        among.append([score and score.among / score.rows for score in scores])
    known, unknown = summarise(within), summarise(among)
    cells = (known.final, unknown.final, known.forgetting)
    out.add_row(title, *(f"{value:.3f}" for value in cells))

# The table.
Console().print(out)
