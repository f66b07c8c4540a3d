"""What a run adds up to, beside what federated averaging would have sent."""

import json
from pathlib import Path

import pytest

from fedlora.evaluation.attackers import attackers_of
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


def test_who_attacked_is_told_beside_what_was_kept_out_of_them_and_of_others(tmp_path: Path):
    attack = {"attack": {"name": "sign_flip"}, "share": 0.34}
    config = small_config(attackers=attack)
    first, second = attackers_of(config, 6, 0)
    honest = next(k for k in range(6) if k not in (first, second))
    seed = seed_folder(finished(tmp_path), 0)
    lost = [{"phase": "finetune", "client": k, "reason": "x"} for k in (first, first, honest, 7)]
    (seed / "lost.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lost))
    trimmed = {"phase": "trimming", "client": second, "reason": "y"}
    (seed / "metrics.jsonl").write_text(json.dumps(trimmed) + "\n")

    (found,) = compile_results(config, tmp_path)["attackers"]

    assert found["attackers"] == (first, second)
    assert (found["clients"], found["caught"], found["wronged"]) == (6, 2, 1)
    assert found["fooled"] is None
    table = json.loads((seed / "table.json").read_text())
    (seed / "table.json").write_text(json.dumps({**table, "fooled": {"generated": 0.4}}))
    assert compile_results(config, tmp_path)["attackers"][0]["fooled"] == 0.4
    assert compile_results(small_config(), tmp_path)["attackers"] == []


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
