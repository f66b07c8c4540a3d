"""Our outputs beside those of plain PEFT, for every adapter folder of a run."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForImageClassification

from fedlora import run_folder
from fedlora.adapter import peft_folder
from fedlora.backbone import open_slot
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.finetune.local import put
from fedlora.finetune.objectives.image_classification import ImageClassification
from fedlora.run_folder import seed_folder


def peft_difference(run: Path) -> float:
    """The largest difference of any logit over the newcomers' first test images."""
    config = run_folder.resume(run)
    torch.set_num_threads(1)
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    client = Client(config, config.seeds[0])
    worst = 0.0
    for folder in sorted((seed_folder(run, config.seeds[0]) / "adapters").iterdir()):
        base = AutoModelForImageClassification.from_pretrained(slot.base.reference)
        plain = PeftModel.from_pretrained(base, folder).eval()
        desk: Desk = client.desk(len(client.seats) - 1)
        objective = desk.objective
        assert isinstance(objective, ImageClassification)
        images = desk.test["pixel_values"][:64]
        put(objective, peft_folder.load(folder, slot.base.digest))
        with torch.inference_mode():
            ours = objective.logits({"pixel_values": images})
            theirs = plain(pixel_values=images).logits
        worst = max(worst, float((ours - theirs).abs().max()))
    return worst
