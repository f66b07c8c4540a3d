"""Accuracy against bytes, on the bench's own federation in small."""

import math
import re
from dataclasses import asdict, replace

import pytest
import torch

from fedlora.adapter.product import norm
from fedlora.backbone import open_slot
from fedlora.bench.comm import cases, rates, route
from fedlora.bench.comm.cases import Case
from fedlora.bench.comm.curve import Point, at_bytes, curve, first_at
from fedlora.bench.comm.families import FAMILIES, LANGUAGE, TEXT, VISION
from fedlora.bench.comm.full import full_curve
from fedlora.bench.comm.lives import live
from fedlora.bench.comm.newcomers import TIMES_FEWER
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import shapes_of

SPLITS = {"train": 30, "validation": 8, "test": 10}
SMALL = replace(
    VISION,
    rounds=1,
    rival=3,
    changes={
        "lora": {"rank": 2, "ranks": (1, 2)},
        "warm_start": {"rounds": 3},
        "tasks": {"splits": SPLITS},
        "shards": {"per_task": 1, "partition": "iid"},
    },
    route={
        "tasks": {"bank": 4, "held_out": 2, "splits": SPLITS},
        "finetune": {"epochs": 1},
        "generator": {"name": "mean"},
    },
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))


def point(rounds, sent, value):
    return Point(rounds, 0, sent, 0, 0, 0, sent, value)


def test_a_point_counts_all_that_had_to_travel_for_it():
    points = curve(Case(SMALL, "codec", "none", 0).config, seed=0)

    assert [point.rounds for point in points] == [0, 1, 2]
    assert points[0].up == 0
    # The first round sends no adapter down; each later one sends four.
    assert points[2].down - points[1].down > 10 * points[0].down
    # Rounding to the header's alignment aside, every round sends the same up.
    assert points[2].up - points[1].up == pytest.approx(points[1].up, rel=0.01)
    assert all(0 <= point.value <= 1 and point.payload < point.bytes for point in points)
    # Four clients of one rank: the slowest is as slow as all; the last broadcast trains nobody.
    assert points[2].slowest_up == pytest.approx(points[2].up / 4, rel=0.01)
    assert points[2].slowest_down == pytest.approx(points[2].down / 4, rel=0.01)
    assert points[2].fit == pytest.approx(points[2].payload * 3 / 4)


def test_a_round_of_mixed_ranks_waits_for_the_largest():
    points = curve(Case(SMALL, "mixed", "flexlora", 0).config, seed=0)
    # Ranks 1, 2, 1, 2, and a head of every client's beside them.
    assert points[1].slowest_up > 1.1 * points[1].up / 4


def test_full_fine_tuning_sends_the_whole_model_and_leaves_it_as_it_was():
    config = Case(SMALL, "full", cases.FULL, 0).config
    slot = open_slot(config.backbone, config.lora, config.runtime.device)
    before = {name: tensor.clone() for name, tensor in slot.model.named_parameters()}
    points = full_curve(config, 0, 1e-3)

    assert points[2].slowest_up * 4 == points[2].up
    assert points[2].fit == pytest.approx(points[2].payload * 3 / 4)
    assert full_curve(config, 0, 1e-3) == points
    whole = 4 * slot.base.parameters  # the classifier that comes with the model is its head
    assert [point.rounds for point in points] == [0, 1, 2]
    for number in (1, 2):
        assert points[number].up == pytest.approx(4 * number * whole, rel=0.02)
        assert points[number].down == pytest.approx(4 * number * whole, rel=0.02)
    assert points[0].value != points[2].value
    for name, tensor in slot.model.named_parameters():
        if "lora_" not in name:
            assert torch.equal(tensor, before[name])
            assert not tensor.requires_grad


def test_newcomers_are_counted_one_by_one():
    case = Case(SMALL, "route", cases.PLAIN, 0)
    assert (case.config.warm_start.rounds, cases.generating(case).warm_start.rounds) == (3, 1)
    row = live(case)
    served, spec = row["served"], open_slot_spec(SMALL)

    # An adapter up and one down a round, the first of which none comes down.
    assert row["points"][1]["up"] == pytest.approx(4 * spec.size, rel=0.2)
    assert row["points"][2]["down"] == pytest.approx(2 * 4 * spec.size, rel=0.2)
    assert served["adapter"] == pytest.approx(4 * spec.size, rel=0.1)
    assert served["adapter"] < served["down"] < 1.2 * served["adapter"]
    assert served["up"] < served["adapter"]  # a task vector is small
    assert served["bank"] > 4 * served["adapter"]
    assert {"base", "warm", "generated", "local"} <= served["values"].keys()
    # The run that generates stops after one round, whose average its newcomers score as well.
    assert len(row["downloads"]) == len(row["points"]) - 1
    assert row["downloads"][0] == pytest.approx(served["values"]["warm"], abs=1e-6)


def test_what_is_downloaded_is_the_average_of_its_round(monkeypatch):
    def size(_objective, adapter, _rows):
        return {"loss": 0.0, "accuracy": norm(adapter)}

    monkeypatch.setattr(route, "score", size)
    config = Case(SMALL, "route", cases.PLAIN, 0).config
    first, second = route.downloads(config, seed=0)

    assert 0 < first != second > 0


def test_newcomers_are_served_by_the_codec_that_their_rival_sends_with():
    row, spec = live(Case(SMALL, "route", "int4", 0)), open_slot_spec(SMALL)

    assert row["served"]["adapter"] < 0.6 * 4 * spec.size
    assert row["points"][1]["up"] < 0.6 * 4 * spec.size


def test_a_floor_is_of_what_adapters_keep_whole():
    plain, coded = (live(Case(SMALL, "codec", what, 0)) for what in ("none", "int4"))
    spent = sum(plain["points"][-1][way] for way in ("up", "down"))

    assert 0.8 * spent < plain["floor"] < spent
    assert (plain["bits"][0], plain["bits"][1]) == (32, None)
    assert coded["floor"] is None
    assert 2 < coded["bits"][1] < coded["bits"][0] < 5


def open_slot_spec(family):
    config = family.run()
    return open_slot(config.backbone, config.lora, config.runtime.device).spec


def test_what_bytes_buy_is_read_off_the_curve():
    points = [point(0, 10, 0.2), point(1, 110, 0.6), point(2, 210, 0.5)]

    assert at_bytes(points, 5) == 0.2
    assert at_bytes(points, 109) == 0.2  # a round that is not paid for in full buys nothing
    assert at_bytes(points, 110) == 0.6
    assert at_bytes(points, 209) == 0.6
    assert at_bytes(points, 1000) == 0.5  # the end, not the best of the way there
    assert first_at(points, 0.5) == points[1]
    assert first_at(points, 0.4) == points[1]  # and its bytes, though a line would be there before
    assert first_at(points, 0.7) is None


def test_a_run_that_keeps_its_scores_to_itself_is_refused():
    with pytest.raises(FedloraError, match=r"warm_start\.score"):
        curve(cases.generating(Case(SMALL, "route", cases.PLAIN, 0)), seed=0)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_case_is_a_configuration_of_its_own_name(family):
    named = [(table, what) for table in cases.TABLES for what in cases.NAMES[table]]
    taken = {("one rank", "fedavg"): 3.0, ("full", cases.FULL): 0.5, ("one rank", "flexlora"): 9.0}
    every = [case for name in named for case in cases.cases(family, *name, 1, taken)]
    for case in every:
        assert case.config.warm_start.score
    (again,) = cases.cases(family, "one rank", "fedavg", 1, taken)
    assert again in every
    assert (again.table, again.times) == ("codec", 3.0)  # averaging is lived once
    assert len({case.name for case in every}) == len(every) - 1

    own = family.run().warm_start.train.learning_rate
    by_name = {(case.table, case.what): case for case in every}
    assert by_name["codec", "int8"].config.warm_start.train.learning_rate == 3 * own
    assert by_name["one rank", "ffa"].config.warm_start.train.learning_rate == own
    assert by_name["full", cases.FULL].full_rate == family.full_rate / 2
    rival = by_name["route", cases.PLAIN]
    assert rival.config.warm_start.train.learning_rate == 3 * own
    assert cases.generating(rival).warm_start.rounds < rival.config.warm_start.rounds
    assert by_name["route", "int8"].config.codec.name == "int8"
    assert cases.generating(by_name["route", "int4"]).codec.name == "int4"
    product = by_name["codec", cases.LOW_RANK].config  # which a mean of factors would not keep
    assert product.warm_start.aggregation.name == "flexlora"
    assert product.warm_start.train.learning_rate == 9 * own


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_rates_are_chosen_on_other_tasks_and_the_best_is_taken(family):
    planned = rates.trials(family)
    reported = {name for names in cases.NAMES.values() for name in names}
    assert {case.what for case in planned} == reported - {*cases.CODECS}
    assert {case.seed for case in planned}.isdisjoint(range(family.seeds))
    assert len({case.seed for case in planned}) == 2
    assert len({case.name for case in planned}) == len(planned)
    eta = {case.times: case.config for case in planned if case.what == "fedadam"}
    assert eta[3.0].warm_start.aggregation.build().config.eta == pytest.approx(3e-2)
    assert eta[3.0].warm_start.train == eta[1.0].warm_start.train
    here, there = family.run().tasks.model_dump(), eta[1.0].tasks.model_dump()
    assert there == here | family.elsewhere != here

    def ended(case):
        best = 1 / 3 if case.what == "ffa" else 3.0
        return ending(0.7 - abs(case.times - best))

    lived = [(case, ended(case)) for case in planned]
    chosen = rates.choose(lived)
    assert chosen["one rank", "ffa"] == 1 / 3
    assert chosen["full", cases.FULL] == 3.0
    rows = {(row["of"], row["name"]): row for row in rates.rate_rows(family, lived, chosen)}
    assert rows["one rank", "ffa"]["taken"] == "x 0.33"
    assert re.match(r"x 0\.33: -?0\.7, x 1: ", rows["one rank", "ffa"]["tried"])


def ending(*values):
    return {"points": [asdict(point(n, 100 * n, value)) for n, value in enumerate((0.0, *values))]}


def test_a_rate_is_judged_by_all_its_seeds():
    def ended(case):  # the highest rate is the best of one seed, and the worst of all
        second = case.seed == rates.SEEDS[1]
        return ending({1 / 3: 0.3, 1.0: 0.5, 3.0: 0.1 if second else 0.8}[case.times])

    chosen = rates.choose([(case, ended(case)) for case in rates.trials(VISION)])

    assert set(chosen.values()) == {1.0}


def test_rates_of_mixed_ranks_are_chosen_by_what_equal_bytes_buy():
    def ended(case):  # a high rate is ahead at first, a low one in the end
        if case.what == cases.SMALLEST:
            return ending(0.1)
        return ending(0.4, 0.5) if case.times == 3.0 else ending(0.2, 0.9 - case.times / 10)

    chosen = rates.choose([(case, ended(case)) for case in rates.trials(VISION)])

    assert chosen["mixed", "flexlora"] == 3.0
    assert chosen["one rank", "fedavg"] == 1 / 3


def test_rates_beyond_the_outermost_are_tried_while_that_is_the_best():
    def live(_title, planned):
        asked.append(len(planned))
        return {case.name: ending(worth(case)) for case in planned}

    def worth(case):  # ffa's best is three steps up, that of full fine-tuning one down
        best = {"ffa": 27.0, cases.FULL: 1 / 3}.get(case.what, 1.0)
        return -abs(math.log(case.times / best))

    asked = []
    found = rates.tried(VISION, live)
    chosen = rates.choose(found)
    assert asked == [len(rates.trials(VISION)), 2 * 2, 2 * 1]
    assert chosen["one rank", "ffa"] == 27.0
    assert chosen["full", cases.FULL] == 1 / 3
    assert chosen["one rank", "fedavg"] == 1.0


@pytest.mark.parametrize("codec", cases.ROUTES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_rival_may_spend_more_than_the_target_says(family, codec):
    (case,) = cases.cases(family, "route", codec, 1)
    spec = open_slot_spec(replace(family, changes=family.route))
    adapter = case.config.codec.build().most(shapes_of(spec))
    # A task vector up besides, in floats: a third of an adapter of them, much less of texts.
    served = adapter + 4 * spec.size * (1 / 3 if family is VISION else 1 / 20)
    assert 2 * (case.config.warm_start.rounds - 1) * adapter / served > TIMES_FEWER


def test_rates_of_images_are_chosen_on_no_domain_that_is_reported():
    here, there = VISION.run().tasks, rates.trials(VISION)[0].config.tasks
    assert {*here.build().names().bank}.isdisjoint(there.build().names().bank)


@pytest.mark.parametrize("family", [TEXT, LANGUAGE], ids=lambda family: family.name)
def test_rates_of_texts_are_chosen_on_other_tasks_and_trained_on_no_test_row(family):
    here, there = family.run().tasks.options(), rates.trials(family)[0].config.tasks.options()
    assert here.seed == there.seed  # by which the test rows of all tasks are drawn
    assert here.source == there.source
    assert here != there
