"""The pipeline as a user types it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedlora.adapter import peft_folder
from fedlora.bank import Bank, Record
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.cli import app
from fedlora.client.own_task import describe
from fedlora.config import dump
from fedlora.errors import FedloraError
from fedlora.generators.saved import load_generator
from tests.pipeline.small import workshop_config


def fedlora(*words: str | Path) -> Any:
    done = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipeline")
    (root / "small.yaml").write_text(dump(workshop_config()))
    (row,) = fedlora("adapters", "train", root / "small.yaml", "--out", root / "made")
    assert (row["rank"], row["tasks"], row["adapters"]) == (2, 4, 8)
    (learned,) = fedlora("generator", "train", root / "made")
    assert learned["adapters"] == 8
    return root / "made"


def newcomer() -> str:
    return workshop_config().tasks.build().names().held_out[0]


def test_a_task_vector_in_a_file_says_what_the_task_itself_says(place: Path, tmp_path: Path):
    fedlora("task-vector", place, "--task", newcomer(), "--out", tmp_path / "v.safetensors")

    by_vector = fedlora(
        "generate", place, "--task-vector", tmp_path / "v.safetensors", "--out", tmp_path / "a"
    )
    by_task = fedlora("generate", place, "--task", newcomer(), "--out", tmp_path / "b")

    assert by_vector[0]["digest"] == by_task[0]["digest"]


def test_what_waits_in_a_folder_of_the_pipeline_is_released_there(place: Path, tmp_path: Path):
    home = tmp_path / "home"
    shutil.copytree(place, home)
    bank = Bank.open(home / "bank")
    one, *_ = bank.records()
    held = replace(Record(*one.key, one.seed, one.metrics), task="another")
    name = Quarantine(home / FOLDER).hold(held, bank.load(one.digest), bank.vector(one), "odd")

    assert fedlora("bank", "quarantine", "release", home, name[:9]) == [{"released": one.digest}]
    assert len(Bank.open(home / "bank")) == 9
    with pytest.raises(FedloraError, match="a folder of the pipeline, and no run"):
        fedlora("run", "--resume", home)
    assert not list(home.glob("seed-*"))


def test_a_generated_adapter_of_another_rank_is_evaluated_beside_the_base(
    place: Path, tmp_path: Path
):
    fedlora("generate", place, "--task", newcomer(), "--rank", "1", "--out", tmp_path / "one")
    fedlora("generate", place, "--task", newcomer(), "--out", tmp_path / "two")

    rows = fedlora(
        "evaluate", place, "--task", newcomer(),
        "--adapter", tmp_path / "one", "--adapter", tmp_path / "two",
    )  # fmt: skip

    assert [row["adapter"] for row in rows] == [
        "base",
        *(str(tmp_path / x) for x in ("one", "two")),
    ]
    assert rows[0]["loss"] > rows[2]["loss"]


def test_samples_differ_and_are_the_same_again(place: Path, tmp_path: Path):
    with pytest.raises(FedloraError, match="ridge draws nothing"):
        fedlora("generate", place, "--task", newcomer(), "--samples", 3, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    options = ["name=cvae", "training.epochs=2", "components=2", "condition_components=2"]
    other = tmp_path / "drawing"
    fedlora("bank", "export", place, tmp_path / "out")
    fedlora("bank", "import", other, tmp_path / "out", "--config", place / "config.yaml")
    fedlora("generator", "train", other, *options)
    asked = ["generate", other, "--task", newcomer(), "--out"]

    rows = fedlora(*asked, tmp_path / "y", "--samples", 3)
    again = fedlora(*asked, tmp_path / "z", "--samples", 3)
    (alone,) = fedlora(*asked, tmp_path / "one")

    assert [Path(row["folder"]).name for row in rows] == ["sample-1", "sample-2", "sample-3"]
    assert len({row["digest"] for row in (*rows, alone)}) == 4
    assert [row["digest"] for row in rows] == [row["digest"] for row in again]
    generator = load_generator(other / "generator")
    vector = describe(workshop_config(), newcomer(), None, None, None, None)
    (mean,) = generator.sample(vector[None], seed=123)
    assert alone["digest"] == mean.digest()


def test_plain_files_begin_a_bank_of_their_own(place: Path, tmp_path: Path):
    fedlora("bank", "export", place, tmp_path / "out")
    folders = sorted((tmp_path / "out").iterdir())[:2]
    for epoch, folder in enumerate(folders):
        tensors = load_file(folder / peft_folder.WEIGHTS)
        save_file(tensors, tmp_path / f"adapter_model_{epoch}.safetensors")
    images = tmp_path / "vector.safetensors"
    save_file({"vector": torch.from_numpy(np.arange(8, dtype=np.float32))}, images)

    made = fedlora(
        "bank", "import", tmp_path / "own", tmp_path / "adapter_model_0.safetensors",
        "--config", place / "config.yaml", "--task", "mine", "--task-vector", images,
    )  # fmt: skip
    by_name = fedlora("bank", "list", tmp_path / "own" / "bank")

    assert [row["digest"] for row in by_name] == [row["digest"] for row in made]
    assert by_name[0]["task"] == "mine"


def test_a_trainers_checkpoints_are_samples_of_one_task(place: Path, tmp_path: Path):
    fedlora("bank", "export", place, tmp_path / "out")
    exported = sorted((tmp_path / "out").iterdir())[:2]
    for folder, number in zip(exported, (500, 1000), strict=True):
        (folder / peft_folder.SIDECAR).unlink()
        said = json.loads((folder / peft_folder.CONFIG).read_text())
        said["base_model_name_or_path"] = "tiny_vit"
        (folder / peft_folder.CONFIG).write_text(json.dumps(said))
        folder.rename(tmp_path / f"checkpoint-{number}")
    (tmp_path / "out").rename(tmp_path.with_name("others"))
    vector = tmp_path / "vector.safetensors"
    save_file({"vector": torch.arange(8.0)}, vector)

    fedlora("bank", "import", tmp_path / "own", tmp_path, "--config", place / "config.yaml",
            "--task", "mine", "--task-vector", vector)  # fmt: skip
    rows = fedlora("bank", "list", tmp_path / "own" / "bank")
    assert [(row["task"], row["sample"]) for row in rows] == [("mine", 500), ("mine", 1000)]


@pytest.mark.parametrize(
    "vector", [torch.zeros(1, 8), torch.zeros(8, dtype=torch.int64), torch.full((8,), torch.nan)]
)
def test_a_vector_that_is_none_is_refused(place: Path, tmp_path: Path, vector: torch.Tensor):
    save_file({"vector": vector}, tmp_path / "v.safetensors")
    with pytest.raises(FedloraError, match=r"v\.safetensors: 'vector' is .* task vector \(c,\)"):
        fedlora("generate", place, "--task-vector", tmp_path / "v.safetensors", "--out", "x")


def test_adapters_of_another_base_model_stay_out(place: Path, tmp_path: Path):
    fedlora("bank", "export", place, tmp_path / "out")
    folder = next((tmp_path / "out").iterdir())
    (folder / peft_folder.SIDECAR).unlink()
    said = json.loads((folder / peft_folder.CONFIG).read_text())
    said["base_model_name_or_path"] = "bert-base-uncased"
    (folder / peft_folder.CONFIG).write_text(json.dumps(said))
    config = place / "config.yaml"
    with pytest.raises(FedloraError, match="base_model_name_or_path is 'bert-base-uncased'"):
        fedlora("bank", "import", tmp_path / "own", tmp_path / "out", "--config", config)


def test_ranks_that_cannot_be_are_named(place: Path, tmp_path: Path):
    with pytest.raises(FedloraError, match=r"no adapter of rank 9 .* holds 2"):
        fedlora("generator", "train", place, "--rank", "9")
    with pytest.raises(FedloraError, match=r"rank=1000 does not fit layer"):
        fedlora("generate", place, "--task", newcomer(), "--rank", 1000, "--out", tmp_path / "x")


def test_rows_go_out_and_come_back_as_folders(place: Path, tmp_path: Path):
    facts = fedlora("bank", "normalise", place, "--out", tmp_path / "rows")
    assert {"what": "rows", "value": 8} in facts

    restored = fedlora("bank", "restore", tmp_path / "rows", "--out", tmp_path / "back")

    assert len(restored) == 8
    assert all((Path(row["folder"]) / peft_folder.CONFIG).is_file() for row in restored)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["adapters", "train", "configs/quickstart.yaml", "--ranks", "1;2"], "write 1,2,4,8"),
        (["generator", "train", "nowhere"], "not a folder of the pipeline"),
        (["bank", "list", "nowhere"], "nowhere: not a run folder"),
        (["bank", "import", "nowhere", "x"], "nowhere: not a run folder"),
        (["bank", "restore", "nowhere", "--out", "x"], "not what fedlora bank normalise writes"),
        (["task-vector", "configs/quickstart.yaml", "--out", "x"], "name the task"),
    ],
)
def test_mistakes_are_explained(words: list[str], says: str):
    with pytest.raises(FedloraError, match=says):
        fedlora(*words)
