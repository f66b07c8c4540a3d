"""From a folder of checkpoints and a file of prompts to adapters, as a user types it."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter, peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.adapter.product import distance
from fedlora.backbone.weights import locate
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.generators.hyperconv import HyperConv
from fedlora.generators.ridge import Ridge
from fedlora.pipeline.experiment.checkpoints import find_checkpoints, read_all
from fedlora.pipeline.experiment.infer import open_model
from fedlora.pipeline.experiment.prepare import Prepared, encodings
from scripts import inference, prepare_data, train_generator

SPEC = AdapterSpec("unknown", (LayerSpec("a.q", 12, 8, 2), LayerSpec("a.v", 12, 8, 2)), 2.0)
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
            state = {f"model.{name}": tensor for name, tensor in as_peft(adapter).items()}
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
    shutil.copytree(place / "checkpoints", place / "untrained")
    blank = {
        f"model.{name}": tensor * ("lora_A" in name)
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
    assert {"model.safetensors", "generator.json", "encoder.json"} == {
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
        (["--samples", "2"], "the same adapter each time"),
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
    told = json.loads(capsys.readouterr().out)
    assert [(row["task"], row["ranks"]) for row in told] == [("a", "2"), ("b", "3")]


def test_checkpoints_are_analysed_and_come_back_from_tokens(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = call(prepare_data, capsys, "analyze", "--checkpoint_dir", "checkpoints")
    assert [row["task"] for row in rows] == sorted(TOPICS)
    assert all(row["checkpoints"] == 2 and 0 < row["spread"] < 0.5 for row in rows)
    file = "checkpoints/food/epoch=1.ckpt"
    (row,) = call(prepare_data, capsys, "test", "--checkpoint_file", file, "--token_dim", "26")
    assert row == {"values": 80, "tokens": 4, "entries": 26, "error": 0.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generator.decoder.hiden=3"], "did you mean 'hidden'"),
        (["generator.tokens.max_tokens=2"], "needs 4 tokens"),
        (["held_out=[opera]"], "'opera' has no checkpoints"),
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


def test_what_goes_on_says_after_which_epoch(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_generator.main(["--resume", str(trained)])
    assert "goes on after epoch 30" in capsys.readouterr().err


def test_a_generator_of_another_kind_learns_from_the_same_folder(
    trained: Path, tmp_path: Path
) -> None:
    config = tmp_path / "ridge.yaml"
    config.write_text(yaml.safe_dump(SETTINGS | {"generator": {"name": "ridge"}}))
    train_generator.main(["--config", str(config), f"out={tmp_path / 'out'}"])
    model = open_model(next((tmp_path / "out").iterdir()))
    assert isinstance(model.maker.service.generator, Ridge)


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
