"""ICM-LoRA's pipeline without a federation: adapters, task vectors, a generator, new adapters.

    python simulations/icm_pipeline.py

Twenty image domains on the tiny ViT, four of them kept back; a few minutes on two cores.
"""

import argparse
import tempfile
from pathlib import Path

from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.config import RunConfig, from_dict
from fedlora.finetune.local import fresh, train
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.nearest import Nearest
from fedlora.generators.saved import load_generator
from fedlora.pipeline.learn import train_generator
from fedlora.pipeline.train import train_adapters
from fedlora.pipeline.workshop import Workshop
from fedlora.server.observer import Silent

RANK = 4


def settings() -> RunConfig:
    return from_dict(
        {
            "name": "icm_pipeline",
            "backbone": {"name": "tiny_vit"},
            "lora": {"rank": RANK, "alpha": 8},
            "tasks": {
                "name": "image_domains",
                "bank": 16,
                "held_out": 4,
                "splits": {"train": 160, "validation": 40, "test": 300},
            },
            "warm_start": {"rounds": 4, "train": {"epochs": 1, "learning_rate": 5e-3}},
            "finetune": {"epochs": 5, "learning_rate": 5e-3, "checkpoints": 2},
            "task_vector": {"samples": 128, "features": ["early"]},
            "generator": {"name": "cvae"},
        },
        origin="icm_pipeline",
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    config = settings()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop.begin(config, Path(folder))

        # One adapter a task; the last two epochs of each are samples in the bank.
        bank = train_adapters(workshop, [RANK], [], Silent())
        print(f"bank: {len(bank)} adapters of {len({r.task for r in bank.records()})} tasks")

        # A generator from task vectors to adapters, with statistics of the bank alone.
        learned = train_generator(workshop, config.generator, RANK, Silent())
        generator = load_generator(workshop.generator_folder)
        print(f"generator: {learned.generator_bytes:,} bytes in {learned.seconds:.0f} s")

        # Newcomers: the base model describes the task, the generator answers. Beside it what the
        # nearest task's adapter reaches, and one that is trained from zero on the newcomer's data.
        nearest = Nearest.of(bank.training_bank(), 1, Path(folder) / "nearest")
        client = Client(config, workshop.seed)
        print(f"{'task':<32} {'base':>6} {'near':>6} {'made':>6} {'own':>6}")
        for seat in client.seats:
            if seat.role == "newcomer":
                desk = client.desk(seat.client)
                vector = task_vector(desk.objective, desk.train, config.task_vector)
                zero = fresh(desk.objective, workshop.seed)
                adapters = [
                    zero,
                    *nearest.sample(vector.unsqueeze(0), seed=workshop.seed),
                    *generator.sample(vector.unsqueeze(0), seed=workshop.seed),
                    *train(
                        desk.objective, zero, desk.train, None, config.finetune, workshop.seed
                    ).adapters[-1:],
                ]
                reached = [score(desk.objective, one, desk.test)["accuracy"] for one in adapters]
                print(f"{seat.task:<32} " + " ".join(f"{value:>6.3f}" for value in reached))


if __name__ == "__main__":
    main()
