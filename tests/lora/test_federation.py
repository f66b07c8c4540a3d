"""fedlora's own runs on a CLIP: its vision tower adapted, its class names read."""

import shutil
import sys
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

from fedlora import registry, run_folder
from fedlora.adapter import peft_folder
from fedlora.backbone import AdapterSlot, load_base
from fedlora.backbone.weights import ASSETS
from fedlora.config import BackboneConfig, LoraSection, load
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh, put
from fedlora.finetune.objectives import objective_for
from fedlora.run_folder import seed_folder
from fedlora.runtime import run as running
from fedlora.section import parse
from fedlora.server.observer import Silent
from fedlora.tasks.contract import Examples
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist
from tests.conftest import small_config

ROOT = Path(__file__).parents[2]
TINY = {"name": "tiny_clip"}


def objective(names=LABEL_NAMES, head=False, **backbone):
    base = load_base(BackboneConfig(**TINY | backbone))
    slot = AdapterSlot(base, LoraSection(rank=2, alpha=4), torch.device("cpu"))
    task = objective_for(slot, "image-classification", tuple(names), head, 32)
    put(task, fresh(task, 0))
    return task


def examples():
    table = FashionMnist(Config()).load()
    rows = table.test.nonzero()[0][::10]
    return table.examples.take(rows)


def test_a_clip_classifies_by_the_names_of_a_task():
    task = objective()
    rows = task.encode(examples())

    assert task.score(rows)["accuracy"] > 0.85
    two = examples().labels < 2
    pair = objective(["trouser", "t-shirt or top"])
    chosen = Examples(examples().inputs[two], 1 - examples().labels[two])
    assert pair.score(pair.encode(chosen))["accuracy"] > 0.9


def test_prompts_are_averaged_and_matter():
    one, two = objective(), objective(prompts=["a photo of a {}.", "{}"])
    assert not torch.equal(one.weight, two.weight)
    assert torch.allclose(one.weight.norm(dim=1), two.weight.norm(dim=1), rtol=1e-5)
    with pytest.raises(FedloraError, match=r"prompts\.0: put \{\} where the class name belongs"):
        parse(BackboneConfig, TINY | {"prompts": ["a photo"]})


def test_larger_images_and_colour_are_taken_too():
    task = objective()
    grey = torch.rand(2, 1, 28, 28)
    colour = grey.expand(2, 3, 28, 28)
    labels = torch.tensor([0, 1]).numpy()
    features = [
        task.features(task.encode(Examples(images.numpy(), labels))) for images in (grey, colour)
    ]
    assert torch.equal(*features)
    large = task.encode(Examples(torch.rand(2, 1, 40, 50).numpy(), labels))
    assert task.features(large).shape == (2, 64)
    with pytest.raises(FedloraError, match="this model takes"):
        task.features({"pixel_values": torch.rand(2, 2, 28, 28)})


def run(folder, **changes):
    base = {
        "backbone": TINY,
        "tasks": {"splits": {"train": 48}},
        "shards": {"per_task": 2, "partition": "dirichlet", "alpha": 0.5, "min_examples": 4},
    }
    config = small_config(**base | changes)
    run_folder.create_at(config, folder)
    return running.run(config, folder, Silent())


def served(folder, results) -> int:
    """Newcomers that were judged with a generated adapter, one that changes every layer."""
    base = load_base(BackboneConfig(**TINY))
    for generated in (seed_folder(folder, 0) / "adapters").iterdir():
        if ".client-" not in generated.name:
            adapter = peft_folder.load(generated, base.digest)
            assert all(tensor.abs().max() > 0 for tensor in adapter.tensors().values())
    return sum(row["method"] == "generated" for row in results["rows"])


def test_newcomers_receive_adapters_that_plain_peft_loads(tmp_path):
    from peft import PeftModel

    results = run(tmp_path / "run")

    assert {row["method"] for row in results["summary"]} >= {"base", "generated", "local"}
    base = load_base(BackboneConfig(**TINY))
    images = torch.rand(4, 1, 28, 28)
    for folder in sorted((seed_folder(tmp_path / "run", 0) / "adapters").iterdir()):
        tower = CLIPVisionModelWithProjection.from_pretrained(ASSETS / "tiny_clip")
        plain = PeftModel.from_pretrained(tower, folder).eval()
        task = objective()
        put(task, peft_folder.load(folder, base.digest))
        with torch.inference_mode():
            theirs = plain(pixel_values=task.images.prepare(images)).image_embeds
            ours = task.features({"pixel_values": images})
        assert torch.equal(torch.nn.functional.normalize(theirs, dim=-1), ours)


# As little as a federation can be: what is tested is that it runs to its end.
LEAST = {
    "tasks": {"bank": 4, "held_out": 1, "splits": {"train": 16, "validation": 4, "test": 8}},
    "finetune": {"epochs": 1, "checkpoints": 1},
    "evaluation": {"one_epoch": False, "few_labels": None, "baselines": [{"name": "mean"}]},
}


@pytest.mark.parametrize("tasks", [
    {"name": "class_subsets", "classes_per_task": 3},
    {"name": "image_domains", "factors": {"noise": {"low": 0, "high": 0.4, "steps": 6}}},
], ids=["class subsets", "corruption"])  # fmt: skip
def test_newcomers_with_other_classes_or_corruptions_are_served(tmp_path, tasks):
    results = run(tmp_path / "run", **LEAST | {"tasks": LEAST["tasks"] | tasks})

    assert served(tmp_path / "run", results) == 1


@pytest.mark.parametrize("more", [
    ["lora.target_components=[encoder,projection]"], ["model.trainable_head=true"],
])  # fmt: skip
def test_the_shipped_configuration_serves_newcomers(tmp_path, more):
    sizes = {"tasks": LEAST["tasks"] | {"bank": 5}, "finetune": {"epochs": 1}}
    less = [
        f"{section}.{key}={value}"
        for section, values in sizes.items()
        for key, value in values.items()
    ]
    few = ["shards.min_examples=2", "task_vector.samples=8", "warm_start.rounds=1"]
    quick = ["evaluation.few_labels=8"]
    config = load(ROOT / "configs" / "clip_lora.yaml", [*less, *few, *quick, *more])
    run_folder.create_at(config, tmp_path / "run")

    results = running.run(config, tmp_path / "run", Silent())

    assert served(tmp_path / "run", results) == 1
    adapters = seed_folder(tmp_path / "run", 0) / "adapters"
    names = {n for f in adapters.glob("*/*.safetensors") for n in load_file(f)}
    part = "visual_projection" if "projection" in more[0] else "classifier"
    assert any(part in name for name in names)


# Those that learn by gradient descent, in a few epochs.
QUICK = {name: {"training": {"epochs": 3}} for name in ("cvae", "icm", "corrected")}
# Each once; the longer list goes on beside the quickest of the other.
PAIRS = [
    (aggregator or "fedavg", generator or "ridge")
    for aggregator, generator in zip_longest(
        registry.names("aggregation"), registry.names("generators")
    )
]


@pytest.mark.parametrize(("aggregator", "generator"), PAIRS)
def test_every_aggregator_and_every_generator_carry_a_clip(tmp_path, aggregator, generator):
    warm = {"rounds": 1, "aggregation": {"name": aggregator}}
    part = {"name": generator} | QUICK.get(generator, {})

    results = run(tmp_path / "run", **LEAST, warm_start=warm, generator=part)

    assert served(tmp_path / "run", results) == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_size_of_vit_b_32_goes_through_a_round(tmp_path):
    config = CLIPConfig(text_config={"bos_token_id": 0, "eos_token_id": 1})
    CLIPModel(config).save_pretrained(tmp_path / "large")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ASSETS / "tiny_clip" / file, tmp_path / "large")

    size = {
        "backbone": {"name": str(tmp_path / "large")},
        "shards": {"per_task": 1},
        "warm_start": {"rounds": 1},
        "tasks": LEAST["tasks"] | {"splits": {"train": 8, "validation": 2, "test": 4}},
        "task_vector": {"samples": 8},
    }

    results = run(tmp_path / "run", **LEAST | size)
    assert sum(row["method"] == "generated" for row in results["rows"]) == 1


def test_the_simulation_comes_to_its_table(monkeypatch, capsys):
    file = ROOT / "simulations" / "clip_federation.py"
    code = file.read_text()
    for size, small in (("10, 8, 32", "3, 1, 32"), ("[:2000]", "[:96]"), ("[:1000]", "[:100]")):
        assert size in code
        code = code.replace(size, small)

    monkeypatch.setattr(sys, "argv", [str(file)])
    exec(compile(code, file, "exec"), {})

    rows = [line.split("│")[1:4] for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [name.strip() for name, *_ in rows] == ["zero-shot", "full", "LoRA, r 4"]
