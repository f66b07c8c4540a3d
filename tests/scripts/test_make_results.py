import pytest

from fedlora.errors import FedloraError
from fedlora.results import Claim, Part, write_results
from scripts.make_results import PAGES, ROOT, current, exact, main, number, render

PAGE = "prose\n\n<!-- claims main -->\nold\n<!-- end -->\n\nmore\n\n{}\n<!-- end -->\nlast\n"


@pytest.fixture
def benches(tmp_path):
    claims = [
        Claim(id="M1", what="a | b", value=0.5, low=0.4, high=0.6, sense=">=", target=0.8),
        Claim(id="M2", what="wall time", value=312.0, unit="s", sense="<=", target=600.0),
    ]
    rows = [
        {"table": "task", "method": "base", "accuracy": 0.512345},
        {"table": "task", "method": "generated", "accuracy": 0.9},
        {"table": "bytes", "method": "fedavg", "bytes": 1234567},
    ]
    path = tmp_path / "main.json"
    return {"main": write_results(path, "main", "fedlora bench main", rows, claims, [0], 9.0)}


def test_the_pages_agree_with_the_results_files(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_every_claim_is_on_the_page_met_or_missed(benches):
    page = render(PAGE.format("<!-- rows main: method -->"), benches)

    assert r"| M1 | a \| b | 0.500 | 0.400 to 0.600 |  | at least 0.800 | **missed** |" in page
    assert "| M2 | wall time | 312 |  | s | at most 600 | met |" in page
    assert "old" not in page


def test_parts_measured_at_several_commits_are_named_with_theirs(benches):
    parts = [Part(name=name, commit=c * 40, seconds=1) for name, c in (("x", "a"), ("y", "b"))]
    several = {"main": benches["main"].model_copy(update={"parts": parts})}
    page = render(PAGE.format("<!-- rows main: method -->"), several)
    assert "commits `aaaaaaaaaaaa` (x), `bbbbbbbbbbbb` (y)." in page


def test_rounding_beside_a_columns_largest_value_is_zero_and_small_columns_stay():
    rows = [{"a": 6.36, "b": 1e-16}, {"a": -5.551e-16, "b": None}]

    assert exact(-5.551e-16, rows, "a") == 0.0
    assert exact(1e-16, rows, "b") == 1e-16
    assert exact("text", rows, "a") == "text"


def test_a_drawing_is_shown_once_a_bench_has_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.make_results.ROOT", tmp_path)
    page = "<!-- picture comm_vision: what it shows -->\n<!-- end -->\n"
    assert render(page, {}) == page

    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "comm_vision.svg").write_text("<svg/>")
    shown = render(page, {})
    assert "\n![what it shows](../results/comm_vision.svg)\n" in shown
    assert render(shown, {}) == shown


def test_only_the_rows_asked_for_are_shown(benches):
    page = render(PAGE.format("<!-- rows main: method, accuracy | table=task -->"), benches)

    assert "| base | 0.512 |\n| generated | 0.900 |" in page
    assert "fedavg" not in page


def test_rows_that_have_a_column_are_shown(benches):
    page = render(PAGE.format("<!-- rows main: method, bytes | bytes -->"), benches)

    assert "| fedavg | 1,234,567 |" in page
    assert "| base |" not in page


def test_a_grid_has_a_line_for_each_case_and_a_column_for_each_value_of_another(benches):
    rows = [
        {"table": "case", "attack": attack, "share": share, "defence": defence, **lost}
        for attack, share, defence, lost in [
            ("none", 0.0, "screening", {"lost": -0.01, "low": -0.31, "high": 0.29}),
            ("lie", 0.2, "screening", {"lost": 11.39, "low": 1.39, "high": 21.39}),
            ("lie", 0.2, "rounds", {"lost": None, "low": None, "high": None}),
        ]
    ]
    told = {"main": benches["main"].model_copy(update={"rows": rows})}

    means = render(PAGE.format("<!-- grid main: attack, defence: lost | table=case -->"), told)
    spans = "<!-- grid main: attack + share, defence: lost, low, high | table=case -->"

    head = "| attack | screening | rounds |\n| --- | --- | --- |\n"
    assert head + "| none | 0.0 |  |\n| lie | 11.4 |  |\n" in means
    assert "| lie | 0.200 | 11.4 ± 10.0 |  |" in render(PAGE.format(spans), told)
    with pytest.raises(FedloraError, match="no rows with attack, colour, lost"):
        render(PAGE.format("<!-- grid main: attack, colour: lost -->"), told)
    twice = benches["main"].model_copy(update={"rows": [*rows, rows[0]]})
    with pytest.raises(FedloraError, match="two rows of none, screening"):
        render(PAGE.format("<!-- grid main: attack, defence: lost -->"), {"main": twice})


def test_a_mean_of_one_has_no_interval_in_a_grid(benches):
    row = {"attack": "lie", "defence": "none", "lost": 2.0, "low": None, "high": None}
    told = {"main": benches["main"].model_copy(update={"rows": [row]})}
    page = render(PAGE.format("<!-- grid main: attack, defence: lost, low, high -->"), told)
    assert "| lie | 2.0 |" in page


def test_claims_that_tables_show_can_be_counted_in_one_line(benches):
    claims = [
        Claim(id="M1", what=f"case {value}", value=value, sense="<=", target=3.0)
        for value in (1.0, 2.0, 7.0)
    ]
    several = benches["main"].model_copy(update={"claims": [*claims, *benches["main"].claims[1:]]})
    page = render("<!-- claims main | counted=M1 -->\n<!-- end -->\n", {"main": several})

    assert "| M1 | claims met, of those that the tables below can show | 2 |" in page
    assert "| all 3 | **missed** |\n| M2 | wall time |" in page
    assert "case" not in page


def test_rendering_again_changes_nothing_and_keeps_the_prose(benches):
    once = render(PAGE.format("<!-- rows main: method, accuracy | table=task -->"), benches)

    assert render(once, benches) == once
    assert [once.count(word) for word in ("prose", "more", "last")] == [1, 1, 1]


def test_the_table_of_a_bench_without_a_file_is_empty():
    page = PAGE.format("<!-- rows main: method -->")

    assert render(page, {}) == page.replace("old\n", "")


def test_a_column_that_no_row_has_is_an_error(benches):
    with pytest.raises(FedloraError, match=r"results/main\.json: no rows with method, gap"):
        render(PAGE.format("<!-- rows main: method, gap | table=task -->"), benches)


def test_a_table_that_a_part_of_a_bench_does_not_have_is_empty(benches):
    page = PAGE.format("<!-- rows main: method, gap | table=gaps -->")
    partly = benches["main"].model_copy(update={"command": "fedlora bench main --only bytes"})

    assert render(page, {"main": partly}).endswith("table=gaps -->\n<!-- end -->\nlast\n")
    with pytest.raises(FedloraError):
        render(page, benches)
    with pytest.raises(FedloraError):  # the table is there, the column is not
        render(page.replace("gaps", "task"), {"main": partly})


def test_a_new_bench_gets_a_section(benches):
    page = ROOT / "docs" / "RESULTS.md"
    another = {"unheard_of": benches["main"].model_copy(update={"bench": "unheard_of"})}

    assert "## unheard_of\n\n<!-- claims unheard_of -->\n\n`fedlora" in current(page, another)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_is_closed(page):
    text = page.read_text()

    begun = sum(text.count(f"<!-- {kind} ") for kind in ("claims", "rows", "grid", "picture"))
    assert begun == text.count("<!-- end -->")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (0.00012345, "0.0001234"),
        (12.3456, "12.35"),
        (12345.678, "12,346"),
        (3.0, "3"),
        (-1e-12, "-1e-12"),
        (600.1, "600.1"),
    ],
)
def test_numbers_keep_what_can_be_read(value, text):
    assert number(value) == text
