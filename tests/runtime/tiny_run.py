"""The smallest real run: four tasks in the bank, one newcomer, seconds on two cores."""

from fedlora.config import RunConfig, from_dict


def tiny_run(**runtime: object) -> RunConfig:
    return from_dict(
        {
            "name": "tiny",
            "backbone": {"name": "tiny_vit"},
            "lora": {"rank": 2},
            "tasks": {
                "name": "image_domains",
                "bank": 4,
                "held_out": 1,
                "splits": {"train": 32, "validation": 16, "test": 16},
            },
            "warm_start": {"rounds": 1},
            "finetune": {"epochs": 1},
            "generator": {"name": "mean"},
            "evaluation": {"baselines": [{"name": "nearest"}], "few_labels": 8},
            "runtime": runtime,
        },
        origin="a test",
    )
