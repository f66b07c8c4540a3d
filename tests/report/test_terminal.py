import io
import json

from rich.console import Console

from fedlora.report import as_json, build, table


def printed(run) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(run))
    return console.export_text()


def test_the_terminal_the_json_and_the_page_give_the_same_numbers(run):

    terminal, values = printed(run), as_json(run)
    page = build(run).read_text(encoding="utf-8")

    assert len(values["lines"]) == 12
    for line in values["lines"]:
        mean = f"{line['value']['mean']:.3f}"
        interval = f"[{line['value']['low']:.3f}, {line['value']['high']:.3f}]"
        assert mean in terminal
        assert interval in terminal
        assert mean in page
        assert interval in page
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_names_are_not_read_as_markup(run):
    text = (run / "results.json").read_text()
    (run / "results.json").write_text(text.replace('"topk"', '"[red]boo[/]"'))

    assert "[red]boo[/]" in printed(run)


def test_an_unfinished_run_has_a_table_too(run):
    (run / "results.json").unlink()

    assert "No generated adapter has been evaluated yet" in printed(run)
    assert as_json(run)["lines"] == []
