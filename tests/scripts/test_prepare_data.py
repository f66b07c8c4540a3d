"""Checkpoints and prompts made ready, as a user types it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.errors import FedloraError
from fedlora.pipeline.experiment.checkpoints import (
    KnownBase,
    find_checkpoints,
    known_base,
    read_all,
)
from fedlora.pipeline.experiment.prepare import Prepared, encodings
from scripts import prepare_data
from tests.scripts.small_experiment import (
    SPEC,
    TOPICS,
    as_peft,
    call,
    folder_of_each,
)


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
