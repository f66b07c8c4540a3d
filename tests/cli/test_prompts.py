"""From a federation that describes its tasks by prompts to `fedlora generate --prompts`."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel
from typer.testing import CliRunner

from fedlora import run_folder
from fedlora.adapter import peft_folder
from fedlora.bank import Bank
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.runtime import run as running
from fedlora.server.observer import Silent
from scripts import inference
from tests.conftest import small_config

TOPICS = {
    "food": ("bread", "soup", "cheese", "apples"),
    "sport": ("the match", "a goal", "the race", "running"),
    "weather": ("rain", "the storm", "sunshine", "snow"),
    "travel": ("the train", "our flight", "a hotel", "the beach"),
}
SAID = (("i love {}", "good"), ("{} was awful", "bad"), ("what a joy: {}", "good"),
        ("never again {}", "bad"))  # fmt: skip
DESCRIBED = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four topics' sentiments, three in the bank, each topic a file of its own."""
    root = tmp_path_factory.mktemp("prompts")
    for topic, words in TOPICS.items():
        rows = [
            {"text": f"{template.format(word)}, {number}", "label": label}
            for number in range(3)
            for word in words
            for template, label in SAID
        ]
        (root / f"{topic}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = {topic: {"name": "files", "path": str(root / f"{topic}.jsonl")} for topic in TOPICS}
    config = small_config(
        backbone={"name": "minilm", "max_length": 16},
        lora={"layers": [5]},
        tasks={"name": "several", "tasks": sources, "held_out": ["travel"], "bank": None,
               "splits": {"train": 16, "validation": 8, "test": 8}},
        warm_start={"rounds": 1},
        task_vector={"samples": DESCRIBED, "features": ["prompts"]},
        generator={"name": "hyperconv", "prompt_width": 384, "training": {"epochs": 2},
                   "decoder": {"hidden": 16, "blocks": 1}},
        evaluation={"one_epoch": False},
    )  # fmt: skip
    folder = run_folder.create(config, root / "runs")
    running.run(config, folder, Silent())
    return folder


def generate(run: Path, out: Path, *words: str) -> None:
    done = CliRunner().invoke(app, ["generate", str(run), "--out", str(out), "--json", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def test_the_bank_holds_prompts_and_only_their_encodings(run: Path) -> None:
    bank = Bank.open(run / "seed-0" / "bank").training_bank()
    prompts = bank.conditions.view(len(bank.tasks), DESCRIBED, 384)
    assert torch.allclose(prompts.norm(dim=2), torch.ones(len(bank.tasks), DESCRIBED))
    assert len(torch.unique(prompts[0], dim=0)) == DESCRIBED
    sent = [f.read_bytes() for f in (run / "seed-0" / "checkpoints").rglob("*") if f.is_file()]
    assert not any(b"awful" in content for content in sent)


def test_a_file_of_prompts_leads_to_an_adapter(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("the beach was awful\nwhat a joy: a hotel\n")
    (tmp_path / "other.txt").write_text("bread was awful\nwhat a joy: soup\n")
    digests = set()
    for name in ("mine", "other"):
        generate(run, tmp_path / name, "--prompts", str(tmp_path / f"{name}.txt"))
        spec = Bank.open(run / "seed-0" / "bank").spec
        digests.add(peft_folder.load(tmp_path / name, spec.base).digest())
    assert len(digests) == 2


def test_the_script_for_experiments_takes_a_run_as_well(run: Path, tmp_path: Path) -> None:
    asked = tmp_path / "mine.txt"
    asked.write_text("".join(f"the beach was awful, {number}\n" for number in range(DESCRIBED)))
    inference.main(
        ["--model", str(run), "--prompt_file", str(asked), "--output", str(tmp_path / "script")]
    )
    generate(run, tmp_path / "command", "--prompts", str(asked))
    spec = Bank.open(run / "seed-0" / "bank").spec
    made = [peft_folder.load(tmp_path / name, spec.base) for name in ("script", "command")]
    assert made[0].flatten().equal(made[1].flatten())
    said = [
        json.loads((tmp_path / name / peft_folder.CONFIG).read_text())
        for name in ("script", "command")
    ]
    assert said[0]["base_model_name_or_path"] == said[1]["base_model_name_or_path"]
    assert said[0]["task_type"] == said[1]["task_type"] == "FEATURE_EXTRACTION"
    AutoModel.from_pretrained(said[0]["base_model_name_or_path"])


def test_the_task_is_named_once_and_prompts_must_be_there(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(FedloraError, match="holds no prompt"):
        generate(run, tmp_path / "out", "--prompts", str(tmp_path / "empty.txt"))
    with pytest.raises(FedloraError, match="name the task once"):
        generate(run, tmp_path / "out", "--prompts", "a.txt", "--task", "travel")
