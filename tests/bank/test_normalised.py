"""A bank as rows on one scale, and back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance, norm
from fedlora.bank import Bank, Record
from fedlora.bank.normalised import CARD, ROWS, base_of, normalise, read_points, restore
from fedlora.errors import FedloraError

LAYERS = (LayerSpec("a.q", 10, 8, 2), LayerSpec("a.v", 10, 6, 2))
SPEC = AdapterSpec(base="b" * 64, layers=LAYERS, alpha=6.0)


def bank_of(folder: Path, count: int) -> tuple[Bank, list[LoraAdapter]]:
    bank = Bank.open(folder, SPEC, create=True)
    common = torch.randn(SPEC.size, generator=torch.Generator().manual_seed(9))
    adapters = []
    for number in range(count):
        draw = torch.Generator().manual_seed(number)
        values = common + 0.3 * torch.randn(SPEC.size, generator=draw)
        adapters.append(LoraAdapter.from_flat(SPEC, values))
        record = Record(f"task {number}", number, 0, 0, 2, 0, {})
        bank.add(record, adapters[-1], torch.full((3,), float(number)))
    return bank, adapters


def test_rows_lead_back_to_every_adapter(tmp_path: Path):
    bank, adapters = bank_of(tmp_path / "bank", 5)

    made = normalise(bank, 2, tmp_path / "rows", "the/base", None)
    restored = restore(tmp_path / "rows", read_points(tmp_path / "rows" / ROWS))

    assert (made.rows, made.values) == (5, SPEC.size)
    for own, back in zip(adapters, restored, strict=True):
        assert distance(own, back) <= max(made.error, 1e-6) * norm(own) * 1.01
    assert made.error < 1e-5
    rows = json.loads((tmp_path / "rows" / CARD).read_text())["rows"]
    assert [row["digest"] for row in rows] == [adapter.digest() for adapter in adapters]
    assert base_of(tmp_path / "rows") == ("the/base", None)


def test_statistics_are_the_banks_and_restore_a_row_of_no_bank_adapter(tmp_path: Path):
    bank, _ = bank_of(tmp_path / "bank", 6)
    made = normalise(bank, 2, tmp_path / "rows", "the/base", None)
    held = load_file(tmp_path / "rows" / ROWS)

    assert torch.allclose(held["points"].mean(0), torch.zeros(SPEC.size), atol=1e-6)
    assert float((held["points"] ** 2).sum(1).mean()) == pytest.approx(1.0, abs=1e-5)
    (middle,) = restore(tmp_path / "rows", held["points"][:2].mean(0, keepdim=True))
    assert set(made.spread) == set(middle.tensors())
    first = slice(0, 2 * 10)  # a.q.down
    rows = held["points"] * held["spread"]
    spread = float((rows[:, first] ** 2).mean().sqrt())
    assert made.spread["a.q.down"] == pytest.approx(spread, rel=1e-4)


def test_rows_that_cannot_be_restored_are_refused(tmp_path: Path):
    bank, _ = bank_of(tmp_path / "bank", 3)
    normalise(bank, 2, tmp_path / "rows", "the/base", None)

    with pytest.raises(FedloraError, match="rows of"):
        restore(tmp_path / "rows", torch.zeros(1, 3))
    with pytest.raises(FedloraError, match="NaN"):
        restore(tmp_path / "rows", torch.full((1, SPEC.size), torch.nan))
    with pytest.raises(FedloraError, match="not what fedlora bank normalise writes"):
        restore(tmp_path / "bank", torch.zeros(1, SPEC.size))
    with pytest.raises(FedloraError, match="no adapter of rank 3"):
        normalise(bank, 3, tmp_path / "rows", "the/base", None)
