"""From a trained generator and prompts to adapters on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedlora import atomic, frame, run_folder
from fedlora import config as configuration
from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.backbone import open_slot
from fedlora.backbone.text_encoder import TextEncoder, open_encoder
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.contract import Generator
from fedlora.pipeline.experiment import final_model
from fedlora.pipeline.experiment.run import CONFIG, FINAL
from fedlora.pipeline.workshop import is_workshop
from fedlora.server.in_service import open_service


def is_experiment(folder: Path) -> bool:
    """Whether `train_generator.py` has ended there."""
    return (folder / FINAL).is_dir()


def open_model(folder: Path) -> tuple[Generator, TextEncoder]:
    """The generator of an experiment, of its final_model, or of a run; and the encoder it reads by.

    Raises:
        FedloraError: there is none, it is damaged, or it learned from another encoder, or from no
            prompts.
    """
    if is_experiment(folder):
        return final_model.load(folder / FINAL)
    if _is_run(folder):
        return _of_run(folder), open_encoder()
    return final_model.load(folder)


def base_of(folder: Path) -> tuple[str | None, str | None]:
    """What from_pretrained takes to load a run's base model, and PEFT's name of what that does.

    None of an experiment, which has seen adapters alone.
    """
    if not _is_run(folder):
        return None, None
    config = run_folder.resume(folder)
    base = open_slot(config.backbone, config.lora, config.runtime.device).base
    return base.reference, base.task_type


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's or the pipeline's, neither a generator's nor an experiment's."""
    own = folder / CONFIG
    if is_experiment(folder) or (folder / store.CARD).is_file() or not own.is_file():
        return False
    return "checkpoint_dir" not in configuration.merged(own, ())


def _of_run(folder: Path) -> Generator:
    """What serves newcomers of the first seed of a run, or of a folder of the pipeline."""
    config = run_folder.resume(folder)
    if config.task_vector.prompts == 1:
        raise FedloraError(
            f"{folder}: tasks are described there by {', '.join(config.task_vector.features)};"
            " use fedlora generate --data or --task-vector"
        )
    own = folder if is_workshop(folder) else run_folder.seed_folder(folder, config.seeds[0])
    return open_service(config, own).generator


def generate(generator: Generator, encoder: TextEncoder, texts: Sequence[str]) -> LoraAdapter:
    """One adapter for the task that these prompts are of."""
    asked = encoder.encode(texts).flatten().unsqueeze(0)
    return generator.sample(generator.sees(asked, len(texts)), seed=0)[0]


def write_folder(
    adapter: LoraAdapter, folder: Path, base: str, task_type: str | None, remark: str
) -> None:
    """A PEFT folder; `base` is what from_pretrained takes."""
    peft_folder.save(adapter, folder, base, task_type, remark)


def write_batch(adapters: Mapping[str, LoraAdapter], file: Path) -> None:
    """One safetensors file: NUMBER/LAYER.lora_A.weight and lora_B; names in the metadata.

    Raises:
        FedloraError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for number, adapter in enumerate(adapters.values()):
        for layer in adapter.spec.layers:
            name = f"{number}/{peft_folder.PREFIX}{layer.name}"
            tensors[f"{name}{peft_folder.DOWN}"] = adapter.down[layer.name]
            tensors[f"{name}{peft_folder.UP}"] = adapter.up[layer.name]
        tensors |= {f"{number}/head.{name}": tensor for name, tensor in adapter.head.items()}
        tensors[f"{number}/alpha"] = torch.tensor(adapter.spec.alpha)
    atomic.write_bytes(file, frame.pack(tensors, "prompts", json.dumps(list(adapters))))
