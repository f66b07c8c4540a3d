"""What a run adds up to, beside what federated averaging would have sent."""

import json
from pathlib import Path

import pytest

from fedlora.evaluation.results import compile_results
from fedlora.run_folder import seed_folder
from fedlora.wire.ledger import Entry
from tests.conftest import small_config


def finished(folder: Path) -> Path:
    seed = seed_folder(folder, 0)
    seed.mkdir(parents=True)
    facts = {"adapter_values": 10, "base_values": 1000, "bank_clients": 6, "newcomers": 2}
    (seed / "facts.json").write_text(json.dumps({**facts, "fingerprint": {}}))
    (seed / "table.json").write_text(json.dumps({"metric": "accuracy", "rows": []}))
    (seed / "seconds.json").write_text("1.0")
    for name in ("lost", "ledger", "metrics"):
        (seed / f"{name}.jsonl").write_text("")
    return folder


@pytest.mark.parametrize(("chosen", "of_bank", "of_all"), [(None, 6, 8), (4, 4, 4), (7, 6, 7)])
def test_the_rival_asks_as_many_clients_a_round_as_the_run_did(
    tmp_path: Path, chosen: int | None, of_bank: int, of_all: int
):
    config = small_config(warm_start={"rounds": 3, "clients_per_round": chosen})

    sent = compile_results(config, finished(tmp_path))["bytes"]

    assert sent["fedavg_lora_of_bank"] == 2 * 4 * 10 * (3 * of_bank + 6)
    assert sent["fedavg_lora"] == 2 * 4 * 10 * (3 * of_all + 8)
    assert sent["full_finetuning"] == 100 * sent["fedavg_lora"]


def test_each_purpose_is_counted_three_ways(tmp_path: Path):
    entries = [
        Entry("finetune", 1, client, direction, "adapter", 100, 130, socket=socket)
        for client in range(2)
        for direction, socket in (("up", 150), ("down", None if client else 140))
    ]
    ledger = seed_folder(finished(tmp_path), 0) / "ledger.jsonl"
    ledger.write_text("".join(entry.to_line() + "\n" for entry in entries))

    counted = compile_results(small_config(), tmp_path)["bytes"]

    both = {"messages": 2, "payload": 200, "serialised": 260}
    assert counted["by_purpose"] == {
        "adapter": {"up": {**both, "socket": 300}, "down": {**both, "socket": None}}
    }
    assert (counted["up"], counted["down"]) == (260, 260)
