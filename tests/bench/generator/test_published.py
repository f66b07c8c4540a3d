"""The published architecture beside the library's own."""

from dataclasses import replace

import pytest

from fedlora.bench.generator import published
from fedlora.bench.generator.families import DENSE
from fedlora.bench.generator.side import SHORT
from tests.bench.generator.made import newcomer


def test_the_published_architecture_is_lived_beside_the_others(monkeypatch):
    quick = {name: dict(part) for name, part in published.GENERATORS.items()}
    for name in ("cvae", published.ICM):
        quick[name] |= {"training": {"epochs": 2}}
    monkeypatch.setattr(published, "GENERATORS", quick)
    splits = {"train": 16, "validation": 2, "test": 16}
    tiny = replace(DENSE, tasks={**DENSE.tasks, "bank": 5, "held_out": 2, "splits": splits})
    tiny = replace(tiny, rounds=3, finetune={**DENSE.finetune, "epochs": 1})

    found = published.measure(7, tiny)

    icm = published.ICM
    names = {"base", "warm", "local", SHORT, *quick, f"{icm}, shuffled", f"{icm}, prior's mean"}
    assert found["newcomers"][0].keys() == names | {"task", "inside"}
    assert found["methods"].keys() == {"local", *quick}
    assert all(0 < row["shared mistakes"] <= 1 for row in found["methods"].values())
    cost, mean = found["methods"][icm], found["methods"]["mean"]
    assert cost["fit seconds"] > mean["fit seconds"] > 0
    assert cost["stored"] > mean["stored"] > 5 * found["adapter"]


def test_the_published_architecture_has_a_row_a_method_and_claims_of_a_draw_and_of_the_mean():
    calm = f"{published.ICM}, prior's mean"
    values = {"cvae": 0.5, published.ICM: 0.3, calm: 0.4, "mean": 0.35}
    rows = [newcomer(task, **values) for task in "ab"]
    costs = {"cvae": {"fit seconds": 2.0, "stored": 30}}
    cases = {seed: {"newcomers": rows, "methods": costs, "adapter": 8} for seed in (1, 2)}

    ahead_of_it, of_its_mean, beyond_mean, _ = published.published_claims(DENSE, cases)
    table = {row["method"]: row for row in published.published_rows(DENSE, cases)}

    assert (ahead_of_it.id, ahead_of_it.value, ahead_of_it.met) == ("G2", pytest.approx(0.4), True)
    assert of_its_mean.value == pytest.approx(0.2)
    assert (beyond_mean.value, beyond_mean.met) == (pytest.approx(-0.1), False)
    assert (table["cvae"]["gap"], table["cvae"]["fit seconds"]) == (pytest.approx(0.8), 2.0)
    assert (table["local"]["stored"], table["local"]["adapter"]) == (None, 8)
    flat = {1: {**cases[1], "newcomers": [newcomer(local=0.11)]}}
    assert published.published_rows(DENSE, flat) == published.published_claims(DENSE, flat) == []
