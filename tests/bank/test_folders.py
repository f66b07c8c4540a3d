"""A bank goes out as PEFT folders and comes back the same."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from fedlora.adapter import AdapterSpec, LayerSpec
from fedlora.bank import IMPORTED, Bank, Record, export_peft, peft_arrivals
from fedlora.errors import FedloraError
from tests.adapters import random_adapter
from tests.bank.bringing import bring

SPEC = AdapterSpec(
    "b" * 64,
    (LayerSpec("q", 10, 8, 3), LayerSpec("v", 10, 6, 3)),
    6.0,
    head=(("classifier.weight", (2, 10)), ("classifier.bias", (2,))),
)
TASKS = ["plain", "../../up", "a\nb", "<script>", "é", "", "con/aux\0", "x" * 300]


def fill(folder: Path) -> Bank:
    bank = Bank.open(folder, SPEC, create=True)
    for i, task in enumerate(TASKS):
        spec = SPEC.with_rank(2 + i % 2)
        record = Record(task or " ", i, 0, 0, 2 + i % 2, i, {"accuracy": 0.1 * i})
        bank.add(record, random_adapter(spec, i), torch.full((5,), float(i)))
    return bank


def test_a_bank_that_went_out_comes_back_the_same(tmp_path: Path) -> None:
    bank = fill(tmp_path / "one")
    paths = export_peft(bank, tmp_path / "out", "org/base", "SEQ_CLS")
    again = Bank.open(tmp_path / "two", SPEC, create=True)
    bring(again, peft_arrivals(again, tmp_path / "out"))
    bring(again, peft_arrivals(again, tmp_path / "out"))

    assert {path.parent for path in paths} == {tmp_path / "out"}
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert again.digest() == bank.digest()
    assert again.records() == bank.records()


def test_banks_of_two_runs_join_and_joining_again_changes_nothing(tmp_path: Path) -> None:
    """Both number their clients and samples from 0, so records of equal places meet."""
    one, two = fill(tmp_path / "one"), Bank.open(tmp_path / "two", SPEC, create=True)
    for i, stored in enumerate(one.records()):
        record = Record(*stored.key, seed=9, metrics={})
        spec = SPEC.with_rank(record.rank)
        two.add(record, random_adapter(spec, 100 + i), torch.zeros(5))
    export_peft(one, tmp_path / "out", "org/base")
    for _ in range(2):
        bring(two, peft_arrivals(two, tmp_path / "out"))

    records = two.records()
    assert len(records) == 2 * len(one.records())
    assert {r.digest for r in one.records()} == {r.digest for r in records if r.client == IMPORTED}
    for stored in one.records():
        (came,) = [r for r in records if r.digest == stored.digest]
        assert came.task == stored.task
        assert torch.equal(two.vector(came), one.vector(stored))


def test_a_plain_peft_folder_comes_in_with_a_record_and_a_vector(tmp_path: Path) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Linear(10, 8)

    config = LoraConfig(r=3, lora_alpha=6, target_modules=["q"], init_lora_weights=False)
    model: PeftModel = get_peft_model(Model(), config)
    model.save_pretrained(str(tmp_path / "theirs"))
    spec = AdapterSpec("b" * 64, (LayerSpec("q", 10, 8, 3),), 6.0)
    bank = Bank.open(tmp_path / "bank", spec, create=True)
    record = Record("new", 0, 0, 0, 3, 0, {})
    with pytest.raises(FedloraError, match=r"has no record.json"):
        bring(bank, peft_arrivals(bank, tmp_path / "theirs"))
    (digest,) = bring(bank, peft_arrivals(bank, tmp_path / "theirs", record, torch.ones(4)))

    assert torch.equal(
        bank.load(digest).down["q"], model.get_parameter("base_model.model.q.lora_A.default.weight")
    )
    assert torch.equal(bank.vector(record), torch.ones(4))


def test_a_bank_of_another_base_takes_nothing(tmp_path: Path) -> None:
    export_peft(fill(tmp_path / "one"), tmp_path / "out", "org/base")
    other = AdapterSpec("c" * 64, SPEC.layers, SPEC.alpha, head=SPEC.head)
    bank = Bank.open(tmp_path / "two", other, create=True)
    with pytest.raises(FedloraError, match="another base model"):
        bring(bank, peft_arrivals(bank, tmp_path / "out"))
    assert len(bank) == 0


@pytest.mark.parametrize("name", ["record.json", "task_vector.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[" * 50_000])
def test_a_missing_or_damaged_side_file_is_one_line(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path, *_ = export_peft(fill(tmp_path / "one"), tmp_path / "out", "org/base")
    (path / name).unlink()
    if content is not None:
        (path / name).write_bytes(content)
    with pytest.raises(FedloraError, match=name) as caught:
        peft_arrivals(Bank.open(tmp_path / "two", SPEC, create=True), path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_adapters_is_one_line(tmp_path: Path) -> None:
    bank = fill(tmp_path / "one")
    with pytest.raises(FedloraError, match="no adapter in"):
        bring(bank, peft_arrivals(bank, tmp_path))
