import json
import re
import shutil

import pytest

from fedlora.errors import FedloraError
from fedlora.report import build
from fedlora.report.methods import method
from fedlora.report.outcome import Line
from fedlora.report.plots import by_method
from fedlora.report.results import Interval
from tests.report.html_page import Page, page_of
from tests.report.made_run import make

HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)>$\\frac{1}{0}$ {{ 7*7 }} \x00\x1b日本'
)


def test_the_page_says_the_result_in_one_sentence_and_draws_it(run):
    page = page_of(run)

    gap = next(
        line["gap"]
        for line in json.loads((run / "results.json").read_text())["summary"]
        if line["method"] == "generated"
    )
    sentence = (
        f"Generated adapters close {gap['mean']:.2f} [{gap['low']:.2f}, {gap['high']:.2f}]"
        " of the gap on 12 unseen tasks"
    )
    assert sentence in page.text
    assert len(page.named("svg")) == 15


def test_every_drawing_holds_a_mark_for_each_of_its_data(run):
    text = build(run).read_text(encoding="utf-8")

    marks = [svg.count("<title>") for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]

    methods, tasks, drawn, bank, seeds = 12, 12, 7, 10, 2
    assert marks == [
        *[2 * methods] * 2,
        tasks * drawn,
        tasks,
        *[2 * 4, 3],
        *[bank + tasks] * 2,
        bank,
        *[bank * seeds] * 2,
        *[1, bank * seeds + 1, 3 * seeds, 2],
    ]


def test_every_drawing_has_a_description_and_every_table_its_headers(run):
    page = page_of(run)

    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.named("svg"))
    assert len(page.named("caption")) == len(page.named("table")) == 3
    assert all(header["scope"] in ("col", "row", "rowgroup") for header in page.named("th"))


def test_the_page_fetches_nothing_and_runs_nothing(run):
    text = build(run).read_text(encoding="utf-8")
    page = Page(text)

    forbidden = {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base"}
    assert forbidden.isdisjoint(tag for tag, _ in page.tags)
    references = [
        v for _, a in page.tags for k, v in a.items() if k in ("href", "xlink:href", "src")
    ]
    assert references
    assert all(reference.startswith("#") for reference in references)
    outside = set(re.findall(r"https?://[^\"' <]+", text))
    assert outside == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|url\((?!#)", text)


def test_names_from_other_people_stay_text(tmp_path):
    tasks = [HOSTILE, f"{HOSTILE} 2", "plain", 'x" onload="alert(3)']
    run = make(tmp_path, tasks=tasks, folders=True)
    results = json.loads((run / "results.json").read_text())
    results["lost"] = [{"phase": HOSTILE, "task": HOSTILE, "reason": HOSTILE + "\ud800"}]
    results["fingerprint"] = {HOSTILE: {HOSTILE: HOSTILE}}
    for row in results["rows"]:
        row["method"] = row["method"].replace("topk", HOSTILE)
    for line in results["summary"]:
        line["method"] = line["method"].replace("topk", HOSTILE)
    (run / "results.json").write_text(json.dumps(results))
    (run / "config.yaml").write_text("name: '</pre></style><script>alert(4)</script>'\n")
    ledger = run / "seed-0" / "ledger.jsonl"
    entry = json.loads(ledger.read_text().splitlines()[0]) | {"purpose": HOSTILE}
    ledger.write_text(json.dumps(entry))

    page = page_of(run)

    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "\x1b" not in page.text


def test_the_same_folder_gives_the_same_bytes(run):
    first = build(run).read_bytes()
    shutil.rmtree(run / "report")

    assert build(run).read_bytes() == first


def test_a_damaged_bank_costs_its_map_only(run):
    (run / "seed-0" / "bank" / "index.sqlite").write_bytes(b"not a database")

    page = page_of(run)

    assert "There is no map" in page.text
    assert len(page.named("svg")) == 12


def test_nan_in_the_measurements_is_left_out_of_the_drawings(run):
    metrics = run / "seed-0" / "metrics.jsonl"
    broken = {
        "phase": "finetune",
        "client": 1,
        "loss": float("nan"),
        "validation": [0.5, float("nan")],
    }
    metrics.write_text(metrics.read_text() + json.dumps(broken) + "\n")

    svgs = re.findall(r"<svg.*?</svg>", build(run).read_text(encoding="utf-8"), flags=re.DOTALL)

    assert len(svgs) == 15
    assert not any(re.search(r"\bnan\b", svg, flags=re.IGNORECASE) for svg in svgs)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("results.json", '{"rows": 3}', "rows"),
        ("results.json", '{"rows": [', "not JSON"),
        ("seed-0/reconstruction.json", "{}", "not a list"),
    ],
)
def test_a_file_that_no_run_writes_is_named(run, name, content, told):
    (run / name).write_text(content)

    with pytest.raises(FedloraError, match=told) as error:
        build(run)

    assert str(run / name) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (run / "report").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FedloraError, match="not a run folder"):
        build(tmp_path)


def test_the_accuracy_axis_ends_where_accuracies_do():
    line = Line(
        method("base"), Interval(mean=0.5, low=-2.0, high=3.0, n=2), Interval(),
        {"a": 0.2, "b": 0.8}, {}, False,
    )  # fmt: skip
    drawn = by_method.values([line], "accuracy", 3)
    free = by_method.values([line], "nll", 3)

    def ticks(svg: str) -> list[float]:
        shown = re.findall(r">([−-]?[0-9.]+)</text>", svg)
        return [float(text.replace("−", "-")) for text in shown]

    assert ticks(drawn)
    assert all(0 <= tick <= 1 for tick in ticks(drawn))
    assert max(ticks(free)) > 1
