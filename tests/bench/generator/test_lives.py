"""Tiny banks, lived from the first round to the last policy."""

from dataclasses import replace

import pytest

from fedlora.bench.generator import curves, quality, ranks
from fedlora.bench.generator.bench import PARTS, bench_generator
from fedlora.bench.generator.families import DENSE, FAMILIES
from fedlora.bench.generator.ways import (
    BEST,
    GROWN,
    LORA,
    MIX,
    MIXED,
    OURS,
    RIVALS,
)
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent
from tests.bench.generator.made import EQUAL, TRIED


def test_a_part_of_another_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(FedloraError, match="dense"):
        bench_generator(tmp_path / "x.json", Silent(), ["dens"])
    assert set(PARTS) >= {family.name for family in FAMILIES}


def test_a_tiny_bank_is_lived_with_every_method_policy_and_curve(monkeypatch):
    monkeypatch.setattr(curves, "SAMPLES", (8, 16))
    monkeypatch.setattr(curves, "FEATURES", (("pooled",), ("gradient", "inputs")))
    monkeypatch.setattr(quality, "AFTER", ("kriging", "top-3"))
    kept = ("mean", "kriging", "cvae", "top-1", "top-3")
    quick = {name: quality.PARTS[name] for name in kept}
    quick["cvae"] = {"name": "cvae", "training": {"epochs": 2}}
    monkeypatch.setattr(quality, "PARTS", quick)
    tiny = replace(
        DENSE,
        tasks={
            **DENSE.tasks,
            "bank": 6,
            "held_out": 2,
            "splits": {"train": 16, "validation": 2, "test": 16},
        },
        rounds=3,
        finetune={**DENSE.finetune, "epochs": 1},
        labels=(8, 32),
        sizes=(3, 6),
    )

    found = quality.measure(tiny, 7)

    assert len(found["newcomers"]) == 2
    expected = {"base", "warm", "local", *kept, "grown", "grown, shuffled", "top-3 after grown"}
    expected |= {"cvae, shuffled", "cvae, random"}
    adopted = {f"{policy} at 32" for policy in (*RIVALS, OURS, f"{MIXED} after grown")}
    adopted |= {f"{LORA} at 8", f"{OURS} at 8", f"{EQUAL} at 32", f"{BEST} at 32"}
    assert found["newcomers"][0].keys() >= expected | adopted | set(TRIED[:2])
    ways = ("plain", "grown")
    assert set(found["chosen"]) == {*ways, *(f"{way} with labels" for way in ways)}
    mixed = found["methods"][f"{quality.after(MIX, GROWN)} at 32"]
    given = found["methods"]["kriging"]
    assert mixed["down"] > 6 * given["down"] > 0
    assert mixed["up"] == given["up"]
    assert {(row["curve"], row["at"]) for row in found["curves"]} == {
        ("bank", 3),
        ("bank", 6),
        ("vector", 8),
        ("vector", 16),
        ("features", "pooled"),
        ("features", "gradient + inputs"),
    }
    (both, *_) = [row for row in found["curves"] if row["at"] == "gradient + inputs"]
    assert both["vector bytes"] == 4 * (256 + 14 * 14)
    assert found["copies"]["top-3"]["nearest"] > 0
    assert [row["real"] > 0 < row["foretold"] for row in found["errors"]] == [True, True]
    assert found["walks"]["top-1"] == pytest.approx({"longest step": 1, "detour": 1, "walks": 6})
    assert found["walks"]["kriging"]["longest step"] < found["walks"]["top-3"]["longest step"]
    assert found["walks"]["kriging after grown"]["walks"] == 6
    assert len(found["foreign"]) == 2
    first = found["newcomers"][0]
    assert first["kriging, guarded"] == first["top-1" if found["foreign"][0] else "kriging"]


def test_a_tiny_bank_is_trained_at_every_rank_and_generated(monkeypatch):
    monkeypatch.setitem(ranks.GENERATORS, "cvae", {"name": "cvae", "training": {"epochs": 2}})
    family = replace(DENSE, rounds=2, finetune={**DENSE.finetune, "epochs": 2})
    family = replace(
        family, tasks={**family.tasks, "splits": {"train": 16, "validation": 2, "test": 16}}
    )
    found = ranks.measure(7, family, tasks=5, ranks=(1, 2))["rows"]
    ways = (ranks.OWN, ranks.ALL, ranks.CUT)
    assert len(found) == 5 * len(ranks.METHODS) * len(ranks.GENERATORS) * len(ways) * 2
    table = {(r["generator"], r["learned from"], r["rank"]): r for r in ranks.rank_rows(found)}
    for name in ranks.GENERATORS:
        for rank in (1, 2):
            rows = [table[name, learned, rank] for learned in ways]
            assert len({row["trained"] for row in rows}) == 1
        # at the largest rank nothing is cut
        whole, same = (table[name, learned, 2]["generated"] for learned in (ranks.OWN, ranks.CUT))
        assert whole == same
    claims = [claim.what for claim in ranks.rank_claims(found)]
    assert len(set(claims)) == 2 * len(ranks.GENERATORS) * len(ranks.CLAIMED)
    assert sum("one generator of all ranks" in what for what in claims) == len(claims) / 2
