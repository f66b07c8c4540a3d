import json

import pytest

from fedlora.report import as_json
from fedlora.report.series import points
from fedlora.report.tensorboard import export
from fedlora.run_folder import create_at
from fedlora.runtime.run import run
from fedlora.server.observer import Silent
from tests.conftest import small_config
from tests.report.html_page import page_of


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    config = small_config(generator={"name": "cvae", "training": {"epochs": 20}})
    folder = tmp_path_factory.mktemp("runs") / "small_20250102_030405"
    run(config, create_at(config, folder), Silent())
    return folder


def test_a_real_run_fills_every_section_of_the_page(lived):
    page = page_of(lived)

    assert "of the gap on 1 of 2 unseen tasks" in page.text
    for title in (
        "On tasks that were never in the bank",
        "Task by task",
        "Against its strongest rival",
        "By purpose",
        "Beside other ways to train for the same rounds",
        "Task vectors",
        "Adapters",
        "Distance to the task's trained adapter",
        "Strength",
        "Warm start",
        "Fine-tuning",
        "Generator",
        "Training time",
        "Nothing: every client that was asked answered",
    ):
        assert title in page.text
    assert "There is no map" not in page.text
    assert "interrupted" not in page.text


def test_the_numbers_of_a_real_run_are_the_servers_own(lived):
    summary = json.loads((lived / "results.json").read_text())["summary"]

    lines = {line["method"]: line["value"] for line in as_json(lived)["lines"]}

    assert {line["method"]: line["value"] for line in summary} == lines


def test_a_real_run_can_be_watched_in_tensorboard(lived):
    metrics = [
        json.loads(line) for line in (lived / "seed-0" / "metrics.jsonl").read_text().splitlines()
    ]

    tags = {point.tag for point in points(metrics)}

    assert {"warm_start/loss", "finetune/training_loss", "generator/loss"} <= tags
    assert list(export(lived / "seed-0").iterdir())
