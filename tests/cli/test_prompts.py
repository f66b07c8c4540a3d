"""From a federation that describes its tasks by prompts to `fedlora generate --prompts`."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModel
from typer.testing import CliRunner

from fedlora import run_folder
from fedlora.adapter import peft_folder
from fedlora.bank import Bank
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.generators.nearest import Nearest
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


def script(run: Path, asked: Path, out: Path) -> None:
    inference.main(["--model", str(run), "--prompt_file", str(asked), "--output", str(out)])


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
    """With more prompts than a client of the run sends, and one of them twice."""
    asked = tmp_path / "mine.txt"
    lines = [f"the {place} was awful, {n}\n" for n in range(8) for place in ("beach", "hotel")]
    asked.write_text("".join([*lines, lines[0]]))
    script(run, asked, tmp_path / "script")
    generate(run, tmp_path / "command", "--prompts", str(asked))
    asked.write_text("".join(lines[:DESCRIBED]))
    generate(run, tmp_path / "fewer", "--prompts", str(asked))
    spec = Bank.open(run / "seed-0" / "bank").spec
    made, same, fewer = (
        peft_folder.load(tmp_path / name, spec.base) for name in ("script", "command", "fewer")
    )
    assert made.digest() == same.digest() != fewer.digest()
    said = [
        json.loads((tmp_path / name / peft_folder.CONFIG).read_text())
        for name in ("script", "command")
    ]
    assert said[0]["base_model_name_or_path"] == said[1]["base_model_name_or_path"]
    assert said[0]["task_type"] == said[1]["task_type"] == "FEATURE_EXTRACTION"
    AutoModel.from_pretrained(said[0]["base_model_name_or_path"])


def test_tasks_of_one_file_get_an_adapter_each_by_either_door(run: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    rows = [{"prompt": "rain was awful", "task": "a"}, {"prompt": "i love soup", "task": "b"}]
    asked.write_text("\n".join(map(json.dumps, rows)))
    script(run, asked, tmp_path / "script")
    generate(run, tmp_path / "command", "--prompts", str(asked))
    spec = Bank.open(run / "seed-0" / "bank").spec
    digests = {
        name: [peft_folder.load(tmp_path / name / task, spec.base).digest() for task in "ab"]
        for name in ("script", "command")
    }
    assert digests["script"] == digests["command"]
    assert len(set(digests["script"])) == 2


def test_a_foreign_task_is_told_so_by_either_door(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "guarded"
    shutil.copytree(run, home)
    settings = yaml.safe_load((home / "config.yaml").read_text())
    settings["adoption"] = {"policy": {"name": "guarded", "beyond": 1e-6}}
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    bank = Bank.open(home / "seed-0" / "bank").training_bank()
    Nearest.of(bank, DESCRIBED, tmp_path).save(home / "seed-0" / "serving" / "nearest")
    asked = tmp_path / "mine.txt"
    asked.write_text("the beach was awful\nwhat a joy: a hotel\n")

    script(home, asked, tmp_path / "script")
    assert "times as far from the bank" in capfd.readouterr().err
    done = CliRunner().invoke(
        app, ["generate", str(home), "--out", str(tmp_path / "command"), "--prompts", str(asked)]
    )
    assert "times as far from the bank" in done.output
    base = bank.adapters[0].spec.base
    made = [peft_folder.load(tmp_path / name, base) for name in ("script", "command")]
    assert made[0].digest() == made[1].digest()


def test_without_labels_either_door_says_what_it_gives(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "mixed"
    shutil.copytree(run, home)
    settings = yaml.safe_load((home / "config.yaml").read_text())
    settings["adoption"] = {"policy": {"name": "label_mix"}}
    (home / "config.yaml").write_text(yaml.safe_dump(settings))
    asked = tmp_path / "mine.txt"
    asked.write_text("the beach was awful\nwhat a joy: a hotel\n")
    line = "adopt with labels, by label_mix; without any, this is what generated gives"

    script(home, asked, tmp_path / "script")
    assert line in capfd.readouterr().err
    done = CliRunner().invoke(
        app, ["generate", str(home), "--out", str(tmp_path / "command"), "--prompts", str(asked)]
    )
    assert line in done.output.replace("\n", " ")
    script(run, asked, tmp_path / "plain")
    assert "labels" not in capfd.readouterr().err
    base = Bank.open(home / "seed-0" / "bank").spec.base
    names = ("script", "command", "plain")
    assert len({peft_folder.load(tmp_path / name, base).digest() for name in names}) == 1


def test_the_task_is_named_once_and_prompts_must_be_there(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(FedloraError, match="holds no prompt"):
        generate(run, tmp_path / "out", "--prompts", str(tmp_path / "empty.txt"))
    with pytest.raises(FedloraError, match="name the task once"):
        generate(run, tmp_path / "out", "--prompts", "a.txt", "--task", "travel")
