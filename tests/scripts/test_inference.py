"""Adapters from prompts, as a user types it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.adapter.product import distance
from fedlora.backbone.weights import locate
from fedlora.cli import app
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.infer import open_model
from scripts import inference, train_generator
from tests.scripts.small_experiment import (
    SPEC,
    TOPICS,
    call,
    folder_of_each,
)


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
