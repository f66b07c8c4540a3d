"""From a folder of checkpoints and a file of prompts to adapters, as a user types it."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.adapter.checkpoint_file import UNKNOWN, read_checkpoint
from fedlora.adapter.product import distance
from fedlora.backbone.weights import locate
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.generators.hyperconv import HyperConv
from fedlora.generators.ridge import Ridge
from fedlora.pipeline.experiment.checkpoints import (
    KnownBase,
    find_checkpoints,
    known_base,
    read_all,
)
from fedlora.pipeline.experiment.infer import open_model
from fedlora.pipeline.experiment.prepare import Prepared, encodings
from scripts import inference, prepare_data, train_generator

SPEC = AdapterSpec("unknown", (LayerSpec("a.q", 12, 8, 2), LayerSpec("a.v", 12, 8, 2)), 2.0)
HELD = "model.base_model.model."
"""Before the names of layers in a LightningModule whose attribute `model` is a PEFT model."""
TOPICS = {
    "food": ("bread", "soup", "cheese"),
    "sport": ("football", "running", "chess"),
    "weather": ("rain", "storms", "snow"),
    "music": ("violins", "drums", "songs"),
}
SETTINGS: dict[str, Any] = {
    "name": "words",
    "checkpoint_dir": "checkpoints",
    "prompts": "prepared",
    "held_out": ["music"],
    "generator": {
        "name": "hyperconv",
        "tokens": {"token_dim": 26},
        "decoder": {"hidden": 32, "blocks": 1},
        "training": {"epochs": 30, "batch_size": 6, "learning_rate": 3e-3},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in two formats, prompts, and a configuration."""
    root = tmp_path_factory.mktemp("place")
    with (root / "prompts.jsonl").open("w") as file:
        for topic, words in TOPICS.items():
            for number in range(12):
                text = f"tell me about {words[number % 3]}, part {number}"
                file.write(json.dumps({"prompt": text, "task": topic}) + "\n")
    for seed, topic in enumerate(TOPICS):
        rng = torch.Generator().manual_seed(seed)
        base = torch.randn(SPEC.size, generator=rng)
        (root / "checkpoints" / topic).mkdir(parents=True)
        for number in (1, 2):
            noise = 0.05 * torch.randn(SPEC.size, generator=rng)
            adapter = LoraAdapter.from_flat(SPEC, base + noise)
            state = {f"{HELD}{name}": tensor for name, tensor in as_peft(adapter).items()}
            torch.save({"state_dict": state}, root / f"checkpoints/{topic}/epoch={number}.ckpt")
    (root / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    return root


def as_peft(adapter: LoraAdapter) -> dict[str, torch.Tensor]:
    sides = ((peft_folder.DOWN, adapter.down), (peft_folder.UP, adapter.up))
    return {f"{name}{end}": tensor for end, side in sides for name, tensor in side.items()}


def call(script: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    script.main([*words, "--json"])
    lines = capsys.readouterr().out
    return json.JSONDecoder().raw_decode(lines[lines.rindex("\n[") + 1 if "\n[" in lines else 0 :])[
        0
    ]


@pytest.fixture(scope="module")
def trained(place: Path, monkeypatch_module: pytest.MonkeyPatch) -> Path:
    monkeypatch_module.chdir(place)
    prepare_data.main(
        ["prepare", "--source", "prompts.jsonl", "--output_dir", "prepared",
         "--samples_per_prompt", "3", "--test_ratio", "0.25"]
    )  # fmt: skip
    train_generator.main(["--config", "config.yaml"])
    spoil(place)
    return next((place / "runs").iterdir())


def spoil(place: Path) -> None:
    """Beside what is right: an encoder without weights, one text for all, an untrained adapter."""
    (place / "bare").mkdir()
    (place / "bare" / "config.json").write_text("{}")
    shutil.copytree(place / "prepared", place / "same")
    for file in (place / "same").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        told = [row | {"prompt": f"{file.stem} {n % 9}"} for n, row in enumerate(rows)]
        file.write_text("".join(json.dumps(row) + "\n" for row in told))
    shutil.copytree(place / "checkpoints" / "food", place / "flat")
    shutil.copytree(place / "checkpoints", place / "untrained")
    blank = {
        f"{HELD}{name}": tensor * ("lora_A" in name)
        for name, tensor in as_peft(LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size))).items()
    }
    torch.save({"state_dict": blank}, place / "untrained/food/epoch=0.ckpt")


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


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


def test_an_experiment_generates_by_the_common_command_too(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asked.jsonl").write_text(
        '{"prompt": "tell me about soup, part 5", "task": "a"}\n'
        '{"prompt": "tell me about chess, part 5", "task": "b"}\n'
        '{"prompt": "tell me about bread, part 5", "task": "a"}\n'
        '{"prompt": "tell me about soup, part 5", "task": "a"}\n'
    )
    asked = ["generate", str(trained), "--prompts", str(tmp_path / "asked.jsonl"), "--json"]
    ours = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    theirs = call(inference, capsys, "--model", str(trained), "--prompt_file",
                  str(tmp_path / "asked.jsonl"), "--output", str(tmp_path / "same"))  # fmt: skip

    rows = json.loads(ours.stdout)
    assert [row["folder"] for row in rows] == [str(tmp_path / "out" / task) for task in "ab"]
    assert [row["digest"] for row in rows] == [row["digest"] for row in theirs]
    assert [row["prompts"] for row in theirs] == [2, 1]
    assert {row["rank"] for row in rows} == {2}
    made = [read_checkpoint(tmp_path / "out" / task) for task in "ab"]
    assert [adapter.digest() for adapter in made] == [row["digest"] for row in rows]

    narrow = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "one"), "--rank", "1"])
    assert {row["rank"] for row in json.loads(narrow.stdout)} == {1}
    for more, said in (
        (["--samples", "2"], "hyperconv draws nothing"),
        (["--task", "food"], "knows tasks by --prompts alone"),
        (["--seed", "0"], "leave --seed out"),
    ):
        refused = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "no"), *more])
        assert said in str(refused.exception)
    assert not (tmp_path / "no").exists()


def test_prompts_that_never_trained_lead_to_adapters_of_their_own_task(trained: Path) -> None:
    measured = json.loads((trained / "results" / "metrics.json").read_text())
    assert measured["nearest_is_own"] == 1.0
    assert {row["task"]: row["held_out"] for row in measured["tasks"]}["music"]
    known = [row for row in measured["tasks"] if not row["held_out"]]
    assert all(row["distance"] < 0.5 * row["mean"] for row in known)


def test_a_prompt_makes_a_peft_folder_and_a_file_makes_a_batch(
    trained: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(inference, capsys, "--model", str(trained), "--prompt", "tell me about soup, part 5",
         "--output", "soup")  # fmt: skip
    soup = read_checkpoint(Path("soup"))
    own = read_checkpoint(place / "checkpoints/food/epoch=1.ckpt")
    other = read_checkpoint(place / "checkpoints/sport/epoch=1.ckpt")
    made = LoraAdapter.from_tensors(own.spec, soup.tensors())
    assert distance(made, own) < distance(made, other)

    Path("asked.jsonl").write_text(
        '{"prompt": "rain", "task": "a"}\n{"prompt": "snow", "task": "a"}\n'
        '{"prompt": "chess", "task": "b"}\n'
    )
    final = str(trained / "results" / "final_model")
    rows = call(inference, capsys, "--model", final, "--prompt_file", "asked.jsonl",
                "--output", "both")  # fmt: skip
    assert [row["folder"] for row in rows] == ["both/a", "both/b"]
    call(inference, capsys, "--model", final, "--prompt_file", "asked.jsonl",
         "--output", "batch.safetensors")  # fmt: skip
    assert len({name.partition("/")[0] for name in load_file("batch.safetensors")}) == 3

    Path("mixed.jsonl").write_text('{"prompt": "rain", "task": "a"}\n{"prompt": "snow"}\n')
    with pytest.raises(SystemExit):
        inference.main(["--model", final, "--prompt_file", "mixed.jsonl", "--output", "neither"])
    assert "mixed.jsonl line 2: no 'task'" in capsys.readouterr().err
    Path("unfit.jsonl").write_text('{"prompt": "rain", "task": "a/b"}\n')
    with pytest.raises(SystemExit):
        inference.main(["--model", final, "--prompt_file", "unfit.jsonl", "--output", "neither"])
    assert "write it in letters, digits and =,+._-" in capsys.readouterr().err
    assert not Path("neither").exists()


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


def test_encodings_are_of_the_texts_that_there_are(trained: Path, tmp_path: Path) -> None:
    class Lengths:
        digest, max_length = "a", 8

        def encode(self, texts: list[str]) -> torch.Tensor:
            return torch.tensor([[float(len(text))] for text in texts])

    def lengths(*texts: str) -> list[float]:
        found = encodings(tmp_path, Prepared({"a": list(texts)}, {"a": []}, 1), Lengths())
        return [float(found[text]) for text in texts]

    assert lengths("one", "three") == [3, 5]
    assert lengths("longer", "three") == [6, 5]  # as many, but others
    assert lengths("one", "three") == [3, 5]


def test_ranks_that_differ_are_named_before_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, rank in (("a", 2), ("b", 3)):
        (tmp_path / task).mkdir()
        spec = SPEC.with_rank(rank)
        state = as_peft(LoraAdapter.from_flat(spec, torch.ones(spec.size)))
        torch.save({"state_dict": state}, tmp_path / task / "x.ckpt")
    with pytest.raises(FedloraError, match=r"another rank .*ranks \[2, 3\]"):
        read_all(find_checkpoints(tmp_path, None))
    prepare_data.main(["analyze", "--checkpoint_dir", str(tmp_path), "--layout", "tiles", "--json"])
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert [(row["task"], row["ranks"]) for row in told] == [("a", "2"), ("b", "3")]
    assert "training refuses them: " in said.err
    assert "another rank than the first checkpoint" in said.err


def folder_of_each(root: Path, specs: dict[str, list[AdapterSpec]], **said: Any) -> Path:
    """ROOT/TASK/N, PEFT folders as PEFT itself writes them; of an unknown base, plain files."""
    draw = torch.Generator().manual_seed(len(specs))
    for task, own in specs.items():
        for number, spec in enumerate(own):
            adapter = LoraAdapter.from_flat(spec, torch.randn(spec.size, generator=draw))
            if spec.base == UNKNOWN:
                (root / task).mkdir(parents=True, exist_ok=True)
                torch.save(as_peft(adapter), root / task / f"{number}.pt")
            else:
                peft_folder.save(adapter, root / task / str(number), spec.base, **said)
                (root / task / str(number) / peft_folder.SIDECAR).unlink()
    return root


def test_alphas_that_differ_are_told_and_refused_in_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(SPEC, base="some/model", alpha=8.0)
    folder_of_each(tmp_path, {"a": [SPEC], "bb": [other]}, task_type=None)
    with pytest.raises(FedloraError, match=r"bb/0': alpha 8, and 2 of .*set alpha where") as why:
        read_all(find_checkpoints(tmp_path))
    prepare_data.main(["analyze", "--checkpoint_dir", str(tmp_path), "--json"])
    said = capsys.readouterr()
    assert [row["alphas"] for row in json.loads(said.out)] == ["2", "8"]
    assert said.err == f"training refuses them: {why.value}\n"


def test_files_that_do_not_say_their_base_go_with_the_one_that_others_name(tmp_path: Path) -> None:
    named = replace(SPEC, base="some/model")
    found = find_checkpoints(
        folder_of_each(
            tmp_path, {"a": [named, SPEC], "bb": [SPEC, named]}, task_type="FEATURE_EXTRACTION"
        )
    )
    assert {one.spec for own in read_all(found).values() for one in own} == {named}
    assert known_base(found) == KnownBase(name="some/model", task_type="FEATURE_EXTRACTION")

    folder_of_each(tmp_path, {"ccc": [replace(SPEC, base="other/model")]}, task_type=None)
    with pytest.raises(
        FedloraError,
        match=r"ccc/0': of base model 'other/model', and '.*a/0' of 'some/model'; keep one folder a"
        " base model, or, if it is the same, write the same base_model_name_or_path",
    ):
        read_all(find_checkpoints(tmp_path))


def test_checkpoints_are_analysed_and_come_back_from_tokens(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = call(prepare_data, capsys, "analyze", "--checkpoint_dir", "checkpoints")
    assert [row["task"] for row in rows] == sorted(TOPICS)
    assert all(row["checkpoints"] == 2 and 0 < row["spread"] < 0.5 for row in rows)
    files = Path("checkpoints/food").iterdir()
    food = {"bytes": sum(file.stat().st_size for file in files), "layers": 2, "tensors": 4,
            "ranks": "2", "alphas": "2", "values": 80, "tokens": 4, "entries": 384}  # fmt: skip
    assert food.items() <= rows[0].items()
    prepare_data.main(["analyze", "--checkpoint_dir", "checkpoints"])
    assert set(rows[0]) <= set(re.findall(r"\w+", capsys.readouterr().out))
    file = "checkpoints/food/epoch=1.ckpt"
    (row,) = call(prepare_data, capsys, "test", "--checkpoint_file", file, "--token_dim", "26")
    assert row == {"values": 80, "tokens": 4, "entries": 26, "error": 0.0}


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


def test_a_folder_whose_rank_is_not_its_tensors_is_refused_as_peft_does(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = LoraAdapter.from_flat(SPEC, torch.ones(SPEC.size))
    peft_folder.save(adapter, tmp_path / "one", None, None)
    file = tmp_path / "one" / peft_folder.CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 8}))
    with pytest.raises(SystemExit):
        prepare_data.main(["test", "--checkpoint_file", str(tmp_path / "one")])
    assert "layer 'a.q' has rank 2, and adapter_config.json says r=8" in " ".join(
        capsys.readouterr().err.split()
    )


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


def test_a_model_that_was_copied_reads_prompts_as_it_learned_to(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_generator.main(
        ["--config", "config.yaml", f"out={tmp_path / 'out'}", "encoder.max_length=8",
         "generator.training.epochs=2"]
    )  # fmt: skip
    copied = tmp_path / "elsewhere" / "models" / "words"
    shutil.copytree(next((tmp_path / "out").iterdir()) / "results" / "final_model", copied)
    (tmp_path / "elsewhere" / "config.yaml").write_text("somebody: else\n")
    assert open_model(copied).encoder.max_length == 8

    other = tmp_path / "other"
    shutil.copytree(locate("minilm"), other)
    weights = load_file(other / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] += 0.1
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    file = copied / "encoder.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"name": str(other)}))
    with pytest.raises(FedloraError, match=r"encoder\.json: .* is another encoder"):
        open_model(copied)
    file.unlink()
    with pytest.raises(SystemExit):
        inference.main(["--model", str(copied), "--prompt", "rain", "--output", "none"])
    assert "copy the whole final_model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("encoder.json", "[]", "encoder.json: damaged (takes keys, not []"),
        ("encoder.json", '{"name": "mini', "encoder.json: damaged (Unterminated string"),
        ("generator.json", "{}", "generator.json: damaged (no key 'name')"),
        ("generator.json", '{"name": "hyperconv"}', "generator.json: damaged (no key 'config')"),
        ("generator.json", '{"name": "cva", "config": {}}', "json: damaged (unknown name 'cva'"),
        ("generator.json", '{"name": "mean", "config": {}}', "generator.json: no key 'shapes'"),
        (
            "generator.json",
            '{"name": "hyperconv", "config": {"tokens": {"token_dim": 1}}}',
            "generator.json: damaged (tokens.token_dim: must be greater",
        ),
        ("model.safetensors", "torn", "model.safetensors: damaged"),
        ("base.json", "[]", "base.json: damaged"),
    ],
)
def test_a_damaged_file_of_a_model_is_named_in_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str,
    message: str,
) -> None:  # fmt: skip
    final = shutil.copytree(trained / "results" / "final_model", tmp_path / "final")
    (final / file).write_text(text)
    assert message in refused(capsys, str(final), "--output", str(tmp_path / "out"))


def refused(capsys: pytest.CaptureFixture[str], model: str, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        inference.main(["--model", model, "--prompt", "rain", *words])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.count("\n") == 1
    return error


def test_a_model_that_is_none_says_what_to_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(trained / "config.yaml", begun)
    for model, message in (
        (tmp_path / "nosuch", "no such folder; name an experiment"),
        (tmp_path, "no experiment, final_model or run"),
        (begun, f"go on with train_generator.py --resume {begun}"),
    ):
        assert message in refused(capsys, str(model), "--output", str(tmp_path / "out"))
    with pytest.raises(SystemExit):
        train_generator.main(["--resume", str(tmp_path / "nosuch")])
    assert "is no experiment (no config.yaml)" in capsys.readouterr().err


def test_what_is_there_already_is_not_written_over(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out", "out.safetensors"):
        out = tmp_path / name
        call(inference, capsys, "--model", str(trained), "--prompt", "rain", "--output", str(out))
        assert f"{out}: exists already" in refused(capsys, str(trained), "--output", str(out))
    (tmp_path / "asked.txt").write_text("rain\n")
    asked = ["generate", str(trained), "--prompts", str(tmp_path / "asked.txt")]
    again = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert "exists already" in str(again.exception)
    error = refused(capsys, str(trained), "--output", str(tmp_path / "out.pt"))
    assert "ends in .pt; name a folder, or a file that ends in .safetensors" in error


def test_generated_adapters_are_of_what_the_checkpoints_say(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(inference, capsys, "--model", str(trained), "--prompt", "rain", "--output",
         str(tmp_path / "unsaid"))  # fmt: skip
    config = json.loads((tmp_path / "unsaid" / peft_folder.CONFIG).read_text())
    assert config["base_model_name_or_path"] is None
    assert config["task_type"] is None
    card = (tmp_path / "unsaid" / "README.md").read_text()
    assert "| base model | not known |" in card
    assert "ImageClassification" not in card
    assert "unknown" not in card

    named = replace(SPEC, base="some/model")
    told = folder_of_each(
        tmp_path / "told", {task: [named, SPEC] for task in TOPICS}, task_type="FEATURE_EXTRACTION"
    )
    train_generator.main(["--config", "config.yaml", f"checkpoint_dir={told}",
                          f"out={tmp_path / 'out'}", "generator.training.epochs=2"])  # fmt: skip
    model = next((tmp_path / "out").iterdir())
    capsys.readouterr()
    call(inference, capsys, "--model", str(model), "--prompt", "rain", "--output",
         str(tmp_path / "said"))  # fmt: skip
    config = json.loads((tmp_path / "said" / peft_folder.CONFIG).read_text())
    assert config["base_model_name_or_path"] == "some/model"
    assert config["task_type"] == "FEATURE_EXTRACTION"
    assert "AutoModel.from_pretrained('some/model')" in (tmp_path / "said/README.md").read_text()


def test_options_that_cannot_be_are_named(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["--max_tokens", "2", "--token_dim", "26"], "error: max_tokens=2: an adapter of 80"),
        (["--layout", "tiles", "--token_dim", "384"], "--token_dim: has no effect"),
    ):
        with pytest.raises(SystemExit):
            prepare_data.main(["analyze", "--checkpoint_dir", "checkpoints", *words])
        assert message in capsys.readouterr().err
