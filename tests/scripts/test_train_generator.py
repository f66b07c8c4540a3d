"""A generator trained on checkpoints and prompts, as a user types it."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fedlora.generators.hyperconv import HyperConv
from fedlora.generators.ridge import Ridge
from fedlora.pipeline.experiment.infer import open_model
from scripts import train_generator
from tests.scripts.small_experiment import (
    SETTINGS,
    TOPICS,
    call,
)


def test_an_experiment_leaves_its_folder(trained: Path) -> None:
    assert trained.name.startswith("words_20")
    kept = {path.name for path in (trained / "checkpoints").iterdir()}
    assert "last.ckpt" in kept
    assert any(name.startswith("epoch=") and "val_loss=" in name for name in kept)
    assert list((trained / "tensorboard_logs").glob("events.*"))
    assert {"model.safetensors", "generator.json", "encoder.json", "base.json"} == {
        path.name for path in (trained / "results" / "final_model").iterdir()
    }
    assert yaml.safe_load((trained / "config.yaml").read_text())["held_out"] == ["music"]


@pytest.mark.parametrize("name", ["lora_parameter_generator", "drag_and_drop"])
def test_the_published_settings_would_train(
    trained: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = Path(__file__).parents[2] / "configs" / "experiments" / f"{name}.yaml"
    rows = call(train_generator, capsys, "--config", str(shipped), "--dry_run")
    planned = {row["what"]: row["value"] for row in rows}
    assert planned["checkpoints"] == 2 * len(TOPICS)
    assert planned["parameters"] > 10_000
    assert planned["entries"] == {"lora_parameter_generator": 384, "drag_and_drop": 1280}[name]


def test_prompts_that_never_trained_lead_to_adapters_of_their_own_task(trained: Path) -> None:
    measured = json.loads((trained / "results" / "metrics.json").read_text())
    assert measured["nearest_is_own"] == 1.0
    assert {row["task"]: row["held_out"] for row in measured["tasks"]}["music"]
    known = [row for row in measured["tasks"] if not row["held_out"]]
    assert all(row["distance"] < 0.5 * row["mean"] for row in known)


def test_a_killed_experiment_is_gone_on_with(trained: Path) -> None:
    model = trained / "results" / "final_model" / "model.safetensors"
    before = model.read_bytes()
    model.unlink()
    train_generator.main(["--resume", str(trained)])
    assert model.read_bytes() == before


def test_what_was_moved_is_gone_on_with_as_it_was_begun(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = trained.rename(trained.with_name("moved"))
    try:
        final = moved / "results" / "final_model" / "model.safetensors"
        before = final.read_bytes()
        final.unlink()
        train_generator.main(["--resume", str(moved)])
        assert final.read_bytes() == before

        settings = (moved / "config.yaml").read_text()
        with pytest.raises(SystemExit):
            train_generator.main(["--resume", str(moved), "generator.training.epochs=40"])
        assert "the experiment's own configuration" in capsys.readouterr().err
        assert (moved / "config.yaml").read_text() == settings
    finally:
        moved.rename(trained)


def test_progress_ends_at_its_end_whatever_there_was_to_do(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_generator.main(["--resume", str(trained)])
    assert re.search(r"learn hyperconv +100 ", capsys.readouterr().err)
    train_generator.main(["--config", "config.yaml", "generator={name: ridge}", f"out={tmp_path}"])
    assert re.search(r"learn ridge +100 ", capsys.readouterr().err)


def test_an_experiment_whose_checkpoints_changed_is_not_gone_on_with(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained / "results" / "final_model" / "model.safetensors"
    before, more = model.read_bytes(), place / "checkpoints/food/epoch=3.ckpt"
    shutil.copy(place / "checkpoints/food/epoch=2.ckpt", more)
    try:
        with pytest.raises(SystemExit):
            train_generator.main(["--resume", str(trained)])
    finally:
        more.unlink()
    assert "not those that it was begun with" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_an_experiment_is_gone_on_with_from_anywhere(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = trained / "results" / "final_model" / "model.safetensors"
    before = model.read_bytes()
    train_generator.main(["--resume", str(trained)])
    assert model.read_bytes() == before


def test_an_interrupted_experiment_says_how_it_goes_on(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_generator.experiment, "run", interrupted)
    with pytest.raises(SystemExit) as ended:
        train_generator.main(["--resume", str(trained)])
    assert ended.value.code == 130
    assert f"--resume {trained}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generator.decoder.hiden=3"], "did you mean 'hidden'"),
        (["generator.tokens.max_tokens=2"], "max_tokens=2: an adapter of 80"),
        (["generator.tokens={layout: tiles, token_dim: 384}"], "tokens.token_dim: has no effect"),
        (["generator.tokens.tile=[8,128]"], "generator.tokens.tile: has no effect"),
        (["held_out=[misuc]"], "'misuc' has no checkpoints in checkpoints; did you mean 'music'?"),
        (["checkpoint_dir=flat"], "lay checkpoints out as TASK/CHECKPOINT"),
        (["checkpoint_dir=."], "is not TASK/CHECKPOINT in '.'; move it to"),
        (["held_out=[food,sport,music]"], "1 task to learn from"),
        (["prompts=nowhere"], "no prepared prompts"),
        (["checkpoint_dir=nowhere"], "no folder"),
        (["encoder.name=./nowhere"], "no config.json"),
        (["generator.samples_per_prompt=2"], "prepared with 3"),
        (["tracker.name=trackr"], "tracker.name"),
        (["generator.training.device=gpu"], "there is none here"),
        (["seed"], "write it as section.key=value"),
        (["max_prompts=2"], "fewer than the 3 prompts of a group"),
        (["generator.prompt_width=7"], "follows from the prompts"),
        (["generator.test_ratio=0.9"], "follows from the prompts"),
        (["generator={name: corrected}"], "needs 4"),
        (["generator={name: cvae, training: {patience: 3}}"], "no prompts validate"),
        (["generator.training.precision=16-mixed"], "needs a GPU"),
        (["out=config.yaml/runs"], "no folder that can be written to"),
        (["encoder.name=bare"], "has no *.safetensors"),
        (["prompts=same"], "have the same prompts"),
        (["checkpoint_dir=untrained"], "an adapter of zeros"),
        (["generator.decoder.kernel=2"], "keeps its length if it is odd"),
        (["generator.decoder.mse_weight=0", "generator.decoder.l1_weight=0"], "nothing would be"),
    ],
)
def test_a_dry_run_finds_the_mistake(
    trained: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        train_generator.main(["--config", "config.yaml", "--dry_run", *words])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_a_dry_run_trains_nothing(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(list(trained.parent.iterdir()))
    rows = call(train_generator, capsys, "--config", "config.yaml", "--dry_run")
    planned = {row["what"]: row["value"] for row in rows}
    assert (planned["tasks"], planned["held out"], planned["tokens"]) == (3, 1, 4)
    assert planned["of them validate"] == 3
    rows = call(train_generator, capsys, "--config", "config.yaml", "--dry_run",
                "generator={name: cvae}")  # fmt: skip
    assert {"what": "of them validate", "value": 0} in rows
    assert len(list(trained.parent.iterdir())) == before


def test_a_tracker_is_told_of_every_epoch_that_is_reported(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[Any] = []
    fake = ModuleType("swanlab")
    fake.__spec__ = sys.__spec__  # type: ignore[assignment]
    fake.init = lambda **words: said.append(words)  # type: ignore[attr-defined]
    fake.log = lambda values, step: said.append((step, values))  # type: ignore[attr-defined]
    fake.finish = lambda: said.append("finished")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "swanlab", fake)
    monkeypatch.setenv("SWANLAB_PROJECT", "mine")
    monkeypatch.delenv("SWANLAB_API_KEY", raising=False)
    with pytest.warns(UserWarning, match="SWANLAB_API_KEY is not set: swanlab stays offline"):
        train_generator.main(
            ["--config", "config.yaml", "tracker.name=swanlab", "tracker.online=true",
             f"out={tmp_path}", "generator.training.epochs=2"]
        )  # fmt: skip
    assert said[0]["project"] == "mine"
    assert said[0]["mode"] == "offline"
    assert Path(said[0]["logdir"]).name == "swanlab_logs"
    assert [entry[0] for entry in said[1:-1]] == [1, 2]
    assert all(values["hardware/cpu_percent"] > 0 for _, values in said[1:-1])
    wanted = {"mse", "l1", "loss", "mae", "rmse", "relative_error", "learning_rate", "epoch",
              "step", "hardware/cpu_percent", "hardware/memory_mib"}  # fmt: skip
    assert wanted <= set(said[1][1])
    assert said[-1] == "finished"

    def interrupted(*_: object, **words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HyperConv, "fit", interrupted)
    with pytest.raises(SystemExit):
        train_generator.main(
            ["--config", "config.yaml", "tracker.name=swanlab", f"out={tmp_path}", "name=other"]
        )
    assert said[-1] == "finished"
    assert said.count("finished") == 2


def test_swanlab_keeps_the_curves_where_the_environment_names_the_project(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SWANLAB_PROJECT", "mine")
    monkeypatch.setenv("SWANLAB_WORKSPACE", "ours")
    monkeypatch.setenv("SWANLAB_ROOT", str(tmp_path / "swanlab"))
    train_generator.main(
        ["--config", "config.yaml", "tracker.name=swanlab", f"out={tmp_path / 'out'}",
         "generator.training.epochs=2"]
    )  # fmt: skip
    kept = next((tmp_path / "out").glob("*/swanlab_logs/run-*/run-*.swanlab")).read_bytes()
    assert b"relative_error" in kept
    assert os.environ["SWANLAB_PROJECT"] == "mine"


def test_a_tracker_that_does_not_start_costs_no_training(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionError("the store\nis away")

    monkeypatch.setattr("swanlab.init", refuse)
    train_generator.main(
        ["--config", "config.yaml", "tracker.name=swanlab", f"out={tmp_path}",
         "generator.training.epochs=2"]
    )  # fmt: skip
    said = " ".join(capsys.readouterr().err.split())
    assert "tracker 'swanlab' does not start: ConnectionError: the store is away" in said
    assert next(tmp_path.glob("*/results/metrics.json")).is_file()


def test_a_training_that_ran_away_says_so(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_generator.main(
        ["--config", "config.yaml", f"out={tmp_path}", "generator.training.learning_rate=30"]
    )
    assert "than an adapter of zeros" in " ".join(capsys.readouterr().err.split())


def test_what_a_training_prints_as_json_is_one_document(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_generator.main(["--resume", str(trained), "--json"])
    assert {row["task"] for row in json.loads(capsys.readouterr().out)} == set(TOPICS)


def test_what_ctrl_c_stopped_says_how_it_goes_on_and_then_after_which_epoch(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    def stop(values: dict[str, float], step: int) -> None:
        if step == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr("swanlab.init", lambda **_: None)
    monkeypatch.setattr("swanlab.finish", lambda: None)
    monkeypatch.setattr("swanlab.log", stop)
    with pytest.raises(SystemExit) as ended:
        train_generator.main(
            ["--config", "config.yaml", "tracker.name=swanlab", f"out={tmp_path}",
             "generator.training.save_seconds=0"]
        )  # fmt: skip
    (folder,) = tmp_path.iterdir()
    assert ended.value.code == 130
    assert f"go on with: python scripts/train_generator.py --resume {folder}" in " ".join(
        capsys.readouterr().err.split()
    )
    monkeypatch.setattr("swanlab.log", lambda values, step: None)
    train_generator.main(["--resume", str(folder)])
    assert "goes on after epoch 11" in capsys.readouterr().err
    final = "results/final_model/model.safetensors"
    made, whole = (load_file(place / final) for place in (folder, trained))
    assert all(torch.equal(made[name], whole[name]) for name in whole)


def test_a_tracker_that_fails_later_costs_no_training(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    def full(values: dict[str, float], step: int) -> None:
        raise OSError("no room")

    monkeypatch.setattr("swanlab.init", lambda **_: None)
    monkeypatch.setattr("swanlab.finish", lambda: None)
    monkeypatch.setattr("swanlab.log", full)
    train_generator.main(
        ["--config", "config.yaml", "tracker.name=swanlab", f"out={tmp_path}",
         "generator.training.epochs=2"]
    )  # fmt: skip
    assert "took no losses of epoch 2: no room" in capsys.readouterr().err
    assert next(tmp_path.glob("*/results/metrics.json")).is_file()


def test_a_generator_of_another_kind_learns_from_the_same_folder(
    trained: Path, tmp_path: Path
) -> None:
    config = tmp_path / "ridge.yaml"
    config.write_text(yaml.safe_dump(SETTINGS | {"generator": {"name": "ridge"}}))
    train_generator.main(["--config", str(config), f"out={tmp_path / 'out'}"])
    model = open_model(next((tmp_path / "out").iterdir()))
    assert isinstance(model.maker.offering.learned["generated"], Ridge)
