"""From curves to rows, claims and drawings."""

from dataclasses import asdict, replace
from xml.etree import ElementTree as ET

import pytest

from fedlora.bench.claims import plain_claim
from fedlora.bench.comm import bench
from fedlora.bench.comm.bench import bench_comm, measured
from fedlora.bench.comm.cases import NAMES, TABLES
from fedlora.bench.comm.claims import codec_claims, mixed_claims, unmeasured
from fedlora.bench.comm.curve import Point
from fedlora.bench.comm.families import FAMILIES, LANGUAGE, VISION
from fedlora.bench.comm.newcomers import home_claim, newcomer_claim, newcomer_rows
from fedlora.bench.comm.tables import Lived, front, rows_of
from fedlora.errors import FedloraError
from fedlora.server.observer import Silent

KB = 1000


def point(rounds, sent, value, largest=0.25):
    """So much up and down, of which the slowest of five clients sends a quarter."""
    most = round(largest * sent)
    return Point(rounds, sent, sent, sent, sent, most, most, value)


def lived(*ends, step=100 * KB):
    """Seeds of two rounds that end at these values, `step` bytes each way in each."""
    curves = [[point(n, n * step, end * n / 2) for n in (0, 1, 2)] for end in ends]
    return Lived(curves, clients=5, floor=200 * KB)


def everything():
    """Two seeds of all tables; int8 halves the bytes and costs a point, ffa is best."""
    codec = {name: lived(0.8, 0.9) for name in NAMES["codec"]}
    coded = lived(0.79, 0.89, step=50 * KB)
    codec["int8"] = replace(coded, floor=None, bits=(8.1, 7.2))
    codec["none"] = replace(codec["none"], bits=(32, None))
    mixed = {name: lived(0.7, 0.7) for name in NAMES["mixed"]}
    mixed["flora"] = lived(0.75, 0.77, step=400 * KB)
    mixed["hetlora"] = lived(0.72, 0.71)
    one = {name: lived(0.8, 0.8) for name in NAMES["one rank"]}
    one["ffa"] = lived(0.9, 0.9, step=60 * KB)
    full = {name: lived(0.95, 0.95, step=10_000 * KB) for name in NAMES["full"]}
    return {"codec": codec, "mixed": mixed, "one rank": one, "full": full}


def test_a_row_says_what_bytes_bought():
    rows = {(row["table"], row["name"]): row for row in rows_of(VISION, everything())}
    plain, full = rows["codec", "none"], rows["full", "full fine-tuning"]

    assert len(rows) == sum(len(NAMES[table]) for table in TABLES if table != "route")
    assert plain["value"] == pytest.approx(0.85)
    assert (plain["low"], plain["high"]) == pytest.approx((0.85 - 0.635, 0.85 + 0.635), abs=1e-3)
    assert (plain["MB"], plain["up a round"]) == (0.4, 20 * KB)
    assert plain["equal MB"] == 0.2  # all that int8 has spent
    assert plain["at equal bytes"] == pytest.approx(0.425)
    # Of 400 KB.
    assert plain["floor / bytes"] == pytest.approx(0.5)
    assert plain["FlowerTune's MB"] == pytest.approx(200 * KB / 2**20)
    assert plain["home link s a round"] == pytest.approx(0.1 + 8 * 25e3 / 10e6 + 8 * 25e3 / 1e9)
    # Full fine-tuning, at the bytes of averaging, has not ended a round.
    assert full["at equal bytes"] == 0
    assert full["MB up to the goal"] == 20.0
    # What loses something has no exact floor; its bits have one of their own.
    int8 = rows["codec", "int8"]
    assert (int8["floor MB"], int8["floor / bytes"]) == (None, None)
    assert (int8["bits a value"], int8["fewest bits a value"]) == (8.1, 7.2)
    assert plain["fewest bits a value"] is None


def test_each_seed_has_its_goal_and_bytes_are_told_where_all_reach_it():
    found = everything()
    found["one rank"]["ffa"] = lived(0.9, 0.95, step=60 * KB)
    found["one rank"]["fedsa"] = lived(0.9, 0.88)
    rows = {(row["table"], row["name"]): row for row in rows_of(VISION, found)}

    assert rows["codec", "none"]["goal"] == pytest.approx(0.84)
    assert rows["codec", "none"]["at the goal"] == "2 of 2"
    assert rows["codec", "none"]["MB up to the goal"] == 0.2
    ffa = rows["one rank", "ffa"]
    assert (ffa["MB up to the goal"], ffa["MB down to the goal"]) == (0.12, 0.12)
    assert ffa["gigabit s to the goal"] == pytest.approx(8 * 2 * 30 * KB / 1e9)
    fedsa = rows["one rank", "fedsa"]
    assert (fedsa["at the goal"], fedsa["MB up to the goal"]) == ("1 of 2", None)


def test_less_is_better_where_the_metric_says_so():
    found = {table: dict(by) for table, by in everything().items()}
    found["codec"]["none"] = lived(-3.0, -3.2)
    row = next(iter(rows_of(LANGUAGE, found)))

    assert (row["metric"], row["value"]) == ("nll", pytest.approx(3.1))
    assert row["goal"] == pytest.approx(3.11)


def test_nothing_on_the_front_is_beaten():
    found = everything()
    best = front(VISION, found)

    assert [row["value"] for row in best] == sorted(row["value"] for row in best)
    assert [row["MB"] for row in best] == sorted(row["MB"] for row in best)
    for by in found.values():
        for other in by.values():
            for point in other.mean:
                assert any(
                    row["MB"] <= point.bytes / 1e6 and row["value"] >= point.value for row in best
                )
    assert best[-1]["name"] == "full fine-tuning"


def test_codecs_are_judged_seed_by_seed_and_in_points():
    int8, int4 = codec_claims(VISION, everything()["codec"])

    assert int8.value == pytest.approx(1.0)
    assert (int8.low, int8.high) == pytest.approx((1.0, 1.0))
    assert not int8.met
    assert int4.value == 0.0
    found = everything()["codec"]
    found["int4"] = lived(0.8, 0.886)  # 0.7 on average, but the interval reaches beyond
    (_, unsure) = codec_claims(VISION, found)
    assert (unsure.value < unsure.target, unsure.met) == (True, False)
    assert codec_claims(LANGUAGE, everything()["codec"]) == []


def test_the_winner_among_mixed_ranks_wins_at_equal_bytes():
    found = everything()["mixed"]
    found["hetlora"] = lived(0.84, 0.85)
    winner, *others = mixed_claims(VISION, found)

    # flora ends high, but the others' bytes do not pay for its first round.
    assert "hetlora ahead of" in winner.what
    assert (winner.value, winner.met) == (pytest.approx(14.5), True)
    by_name = {claim.what.split()[1]: claim for claim in others}
    assert by_name.keys() == {"flexlora", "flora", "product", "hetlora"}
    assert by_name["flora"].value == -70
    assert by_name["flora"].met is False


def test_nobody_wins_where_the_lead_may_be_none():
    found = everything()["mixed"]
    found["hetlora"] = lived(0.75, 0.71)
    winner = mixed_claims(VISION, found)[0]

    assert winner.value is None
    assert "nobody wins" in winner.reason
    assert "hetlora ahead of" in winner.reason
    alone = {name: lived(0.7 + n / 100) for n, name in enumerate(NAMES["mixed"])}
    assert "one seed" in mixed_claims(VISION, alone)[0].reason


def served(generated, warm, points, downloads=(0.3, 0.4)):
    return {
        "served": {
            "values": {"base": 0.1, "warm": warm, "generated": generated, "local": 0.9},
            "up": 100.0,
            "down": 900.0,
            "adapter": 800.0,
            "bank": 10**6,
        },
        "points": [asdict(point) for point in points],
        "downloads": list(downloads),
    }


def by_codecs(*seeds, int8=None):
    """A route whose int8 gets nowhere unless it is given."""
    never = served(0.7, 0.5, SLOW[:1])
    return {"none": seeds, "int8": int8 or [never] * len(seeds)}


SLOW = [
    Point(0, 0, 100, 0, 0, 0, 0, 0.2),
    Point(1, 10_000, 20_000, 0, 0, 0, 0, 0.6),
    Point(2, 20_000, 40_000, 0, 0, 0, 0, 0.8),
]


def test_a_newcomers_bytes_are_held_against_the_cheaper_way_to_average():
    claim = newcomer_claim(VISION, by_codecs(served(0.7, 0.5, SLOW), served(0.5, 0.4, SLOW)))
    assert claim.value == pytest.approx((60 + 30) / 2)
    assert not claim.met  # not surely, of two seeds so far apart
    assert newcomer_claim(VISION, by_codecs(*[served(0.7, 0.5, SLOW)] * 2)).met

    # An average is as good after some round: it takes fewer bytes than a generated adapter.
    for averages in ((0.3, 0.7), (0.7, 0.3)):
        found = by_codecs(served(0.7, 0.5, SLOW, averages))
        assert newcomer_claim(VISION, found).value == pytest.approx(0.8)


def test_the_rival_sends_by_its_cheapest_codec_and_what_is_generated_by_the_same():
    quarter = [replace(point, up=point.up // 4, down=point.down // 4) for point in SLOW]
    coded = served(0.7, 0.5, quarter)
    coded["served"] |= {"up": 100.0, "down": 300.0}

    claim = newcomer_claim(VISION, by_codecs(served(0.7, 0.5, SLOW), int8=[coded]))
    assert claim.value == pytest.approx(15_000 / 400)

    # What is cheap but never gets there is no rival.
    coded["served"]["values"]["generated"] = 0.9
    found = by_codecs(served(0.7, 0.5, SLOW), int8=[coded])
    assert newcomer_claim(VISION, found).value == pytest.approx(60)


def test_who_has_labels_needs_one_average_and_no_generator():
    better, worse = served(0.7, 0.5, SLOW), served(0.7, 0.5, SLOW)
    better["served"]["values"]["local"] = 0.75
    worse["served"]["values"]["local"] = 0.65

    assert home_claim(VISION, by_codecs(better, worse)).value == pytest.approx(0.8)
    assert home_claim(VISION, by_codecs(worse)).value is None


def test_a_rival_that_never_gets_there_gives_a_lower_bound_that_says_so():
    found = by_codecs(served(0.85, 0.5, SLOW), served(0.7, 0.5, SLOW))
    found["int8"] = found["none"]
    claim = newcomer_claim(VISION, found)

    assert claim.value == pytest.approx(60.0)
    assert "lower bound: 1 of 2 seeds" in claim.what


def test_newcomers_rows_name_every_way():
    rows = {row["name"]: row for row in newcomer_rows(VISION, by_codecs(served(0.7, 0.5, SLOW)))}

    assert (rows["generated"]["kB up"], rows["generated"]["kB down"]) == (0.1, 0.9)
    assert rows["generated"]["kB of the bank"] == 1000
    assert (rows["base model"]["kB down"], rows["base model"]["kB of the bank"]) == (0, None)
    at_home = rows["that, and trained at home"]
    assert (at_home["value"], at_home["kB up"], at_home["kB down"]) == (0.9, 0, 0.8)
    assert rows["federated average, downloaded"]["kB down"] == 0.8
    assert rows["in 2 rounds of FedAvg"]["kB up"] == 20.0
    late = rows["federated average, downloaded after 2 rounds"]
    assert (late["value"], late["kB up"], late["kB down"]) == (0.4, 0, 0.8)
    assert {"generated, int8", "in 0 rounds of FedAvg, int8"} < rows.keys()
    assert "base model, int8" not in rows


class Told:
    """Stands for lives: what cases came to is known."""

    def __init__(self):
        self.asked = []

    def rows(self, phase, planned):
        self.asked.append(phase)
        found = everything()
        rows = {}
        for case in planned:
            if case.table == "route":
                rows[case.name] = served(0.7, 0.5, SLOW)
                continue
            one = found[case.table][case.what]
            facts = {"clients": one.clients, "floor": one.floor, "bits": one.bits}
            curve = one.curves[0 if case.elsewhere else case.seed]
            rows[case.name] = {"points": [asdict(p) for p in curve], **facts}
        return rows


def test_a_family_becomes_rows_claims_and_a_drawing(tmp_path):
    told = Told()
    rows, claims = measured(replace(VISION, seeds=2), told, 5, tmp_path / "comm.json")

    assert list(dict.fromkeys(told.asked)) == [
        f"vision: {table}" for table in ("learning rates", *TABLES)
    ]
    assert {row["table"] for row in rows} == {"rate", *TABLES[:-1], "front", "newcomer"}
    assert [claim.id for claim in claims] == ["A3", "A3", *["A2"] * 5, "A5", "A5"]
    drawing = ET.fromstring((tmp_path / "comm_vision.svg").read_text())
    assert "full fine-tuning" in drawing.get("aria-label", "")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_that_was_not_measured_leaves_its_claims_open(family):
    left = unmeasured(family)

    accuracies = ["A3", "A3"] if family.metric == "accuracy" else []
    assert [claim.id for claim in left] == [*["A2"] * 5, *accuracies, "A5", "A5"]
    assert {(claim.value, claim.met, claim.reason) for claim in left} == {
        (None, None, "not measured yet")
    }
    assert all(claim.what.startswith(f"{family.name}: ") for claim in left)


def test_a_file_holds_the_claims_of_families_that_are_missing(tmp_path, monkeypatch):
    measured = plain_claim("A5", "text: x", 30, ">=", 20)
    monkeypatch.setattr(bench, "measured", lambda *_: ([{"family": "text"}], [measured]))
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "data"))

    found = bench_comm(tmp_path / "comm.json", Silent(), only=["text"]).claims

    assert {claim.what.split(":")[0] for claim in found if claim.value is None} == {
        "vision",
        "language",
    }
    assert [claim.value for claim in found if claim.part == "text"] == [30]


def test_an_unknown_part_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(FedloraError, match="did you mean 'vision'"):
        bench_comm(tmp_path / "comm.json", Silent(), only=["visoin"])
