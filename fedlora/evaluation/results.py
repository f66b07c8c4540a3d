"""results.json: what the seeds of a run add up to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.evaluation.attackers import what_came_of_them
from fedlora.evaluation.spending import spent
from fedlora.evaluation.table import Row, summarise
from fedlora.run_folder import seed_folder
from fedlora.wire.ledger import Entry, by_purpose, comparison


def compile_results(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Tables, bytes, losses and hashes of every seed that is finished.

    The rivals are federated averaging of adapters and of the whole model, in float32, for as many
    rounds as this run asked its clients to train: every warm-start round, with as many clients as
    take part in it here, and the rounds of growth and the fine-tuning by all. In one reading the
    clients are the bank's, in the other the newcomers as well, since without a generator they would
    have to.
    """
    done = {s: f for s in config.seeds if (f := seed_folder(folder, s) / "facts.json").is_file()}
    tables = [_read(facts.parent / "table.json") for facts in done.values()]
    fooled = {seed: table.get("fooled") for seed, table in zip(done, tables, strict=True)}
    rows = [Row(**row) for table in tables for row in table["rows"]]
    metric = tables[0]["metric"] if tables else "accuracy"
    facts = {seed: _read(file) for seed, file in done.items()}
    missing = {seed: _read(seed_folder(folder, seed) / "lost.jsonl") for seed in done}
    lost = [{"seed": seed, **line} for seed, lines in missing.items() for line in lines]
    asks = config.privacy or config.attackers
    metrics = {s: _read(seed_folder(folder, s) / "metrics.jsonl") for s in done if asks}
    return {
        "metric": metric,
        "higher_is_better": metric != "nll",
        "finished": len(done) == len(config.seeds),
        "seeds": list(done),
        "rows": [asdict(row) for row in rows],
        "summary": [asdict(summary) for summary in summarise(rows)],
        "bytes": _bytes(config, folder, facts),
        "lost": lost,
        "privacy": spent(config, [(metrics[seed], missing[seed]) for seed in metrics]),
        "attackers": [
            what_came_of_them(
                config, seed, facts[seed]["bank_clients"], [*missing[seed], *_left_out(lines)]
            )
            | {"fooled": (fooled[seed] or {}).get("generated")}
            for seed, lines in metrics.items()
            if config.attackers
        ],
        "seconds": sum(_read(seed_folder(folder, seed) / "seconds.json") for seed in done),
        "fingerprint": {str(seed): fact["fingerprint"] for seed, fact in facts.items()},
    }


def _bytes(config: RunConfig, folder: Path, facts: Mapping[int, Any]) -> dict[str, Any]:
    """Bytes over all seeds, purposes in three counts, beside what federated averaging sends."""
    entries = [
        Entry.from_line(line)
        for seed in facts
        for line in (seed_folder(folder, seed) / "ledger.jsonl").read_text().splitlines()
    ]
    of_bank, of_all = (
        [
            comparison(f["adapter_values"], f["base_values"], _turns(config, sum(map(f.get, who))))
            for f in facts.values()
        ]
        for who in (("bank_clients",), ("bank_clients", "newcomers"))
    )
    return {
        "up": sum(entry.serialised for entry in entries if entry.direction == "up"),
        "down": sum(entry.serialised for entry in entries if entry.direction == "down"),
        "fedavg_lora": sum(rival.lora for rival in of_all),
        "full_finetuning": sum(rival.full for rival in of_all),
        "fedavg_lora_of_bank": sum(rival.lora for rival in of_bank),
        "full_finetuning_of_bank": sum(rival.full for rival in of_bank),
        "by_purpose": by_purpose(entries),
    }


def _left_out(metrics: Sequence[Any]) -> list[Any]:
    """What generators did not learn from."""
    return [line for line in metrics if line["phase"] == "trimming"]


def _turns(config: RunConfig, clients: int) -> int:
    """How often a client trains: all grow and fine-tune; those chosen for a warm-start round do."""
    chosen = min(config.warm_start.clients_per_round or clients, clients)
    return config.warm_start.rounds * chosen + (config.growth.rounds + 1) * clients


def _read(path: Path) -> Any:
    """A JSON document, or the list of documents in a file of lines."""
    try:
        text = path.read_text()
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise FedloraError(
            f"{path}: missing or damaged ({error}); delete facts.json beside it and resume the run,"
            " which writes both again"
        ) from None
