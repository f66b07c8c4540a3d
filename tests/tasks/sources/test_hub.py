"""Hub ids, as far as they can be tried without a network."""

import json

import pytest

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
