"""Hub ids, as far as they can be tried without a network."""

import json

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from fedlora.errors import FedloraError
from fedlora.tasks.sources.hub import Config, Hub


def test_a_local_data_set_is_read_with_its_test_split(tmp_path, hub_cache):
    for split, count in (("train", 6), ("test", 4)):
        rows = [json.dumps({"sentence": f"{split} {n}", "mood": "ab"[n % 2]}) for n in range(count)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))

    table = Hub(Config(id=str(tmp_path), text="sentence", label="mood")).load()

    assert table.label_names == ("a", "b")
    assert table.test.tolist() == [False] * 6 + [True] * 4
    assert table.examples.inputs[-1] == "test 3"


def test_an_unreachable_id_is_one_line_with_a_remedy(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(
        FedloraError, match=r"'nobody/nothing' is not in the local hub cache"
    ) as caught:
        Hub(Config(id="nobody/nothing")).load()
    assert "\n" not in str(caught.value)


def test_a_split_that_is_not_there_is_named(tmp_path, hub_cache):
    (tmp_path / "train.jsonl").write_text('{"text": "x", "label": "a"}\n')

    with pytest.raises(FedloraError, match=r"Unknown split .*test"):
        Hub(Config(id=str(tmp_path))).load()


def test_labels_that_are_kept_back_are_no_class(tmp_path, hub_cache):
    label = ClassLabel(names=["0", "1"])
    features = Features({"goal": Value("string"), "sol1": Value("string"), "sol2": Value("string"),
                         "label": label})  # fmt: skip
    for split, labels in (("train", [0, 1]), ("test", [-1])):
        count = len(labels)
        columns = {"goal": ["q"] * count, "sol1": ["a"] * count, "sol2": ["b"] * count}
        data = Dataset.from_dict({**columns, "label": labels}, features=features)
        data.to_parquet(str(tmp_path / f"{split}.parquet"))

    table = Hub(Config(id=str(tmp_path), test_split=None)).load()

    assert table.examples.choices == [["a", "b"]] * 2
    assert table.examples.labels.tolist() == [0, 1]
    with pytest.raises(FedloraError, match="test row 0: its label is kept back; set the source"):
        Hub(Config(id=str(tmp_path))).load()
