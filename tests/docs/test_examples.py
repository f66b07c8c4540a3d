"""The pages do what they show."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from click import Group
from typer.testing import CliRunner

from fedlora import config as configuration
from fedlora.cli import app
from fedlora.tasks.prompts import Prompt, read_prompts
from fedlora.tasks.question_sets import FORMATS
from fedlora.tasks.sources.files import Config, Files
from tests.docs.examples import PAGES, ROOT, Block, blocks

# The examples of CONTRIBUTING.md are files of the package and have a test of their own.
PYTHON = [page for page in PAGES if page.name != "CONTRIBUTING.md" and blocks(page, "python")]
YAML = [(page, block) for page in PAGES for block in blocks(page, "yaml")]
SHELL = [
    (page, line.partition("#")[0].strip())
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.code.splitlines()
]
FEDLORA = [(page, line) for page, line in SHELL if line.startswith("fedlora ")]
HARMLESS = [(page, line) for page, line in FEDLORA if "RUN_DIR" in line or "--dry-run" in line]


def where(value: Path | Block | str) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(ROOT))
    return f"line {value.line}" if isinstance(value, Block) else value


@pytest.mark.parametrize("page", PYTHON, ids=where)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        # empty lines in front make a traceback name the line of the page
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)


@pytest.mark.parametrize(("page", "block"), YAML, ids=where)
def test_the_yaml_of_a_page_is_a_configuration_or_part_of_one(page, block):
    shown = yaml.safe_load(block.code)
    if "tasks" not in shown:
        quickstart = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
        shown = {**quickstart, **shown}

    configuration.from_dict(shown, origin=str(page))


@pytest.mark.parametrize(("page", "line"), FEDLORA, ids=where)
def test_the_commands_of_a_page_exist_with_these_options(page, line):
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while isinstance(command, Group) and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]

    command.make_context("fedlora", words, resilient_parsing="--install-completion" in words)


@pytest.mark.parametrize(("page", "line"), HARMLESS, ids=where)
def test_the_commands_of_a_page_that_cost_little_succeed(page, line, checkout, monkeypatch):
    if "my_images" in line or "reviews" in line:
        pytest.skip("needs data that the reader has")
    monkeypatch.chdir(checkout)
    (run,) = (checkout / "runs").iterdir()
    words = shlex.split(line.replace("RUN_DIR", str(run)))[1:]

    done = CliRunner().invoke(app, words, catch_exceptions=False)

    assert done.exit_code == 0, done.output


def test_every_make_target_of_a_page_exists():
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        (where(page), target)
        for page, line in SHELL
        if line.startswith("make ")
        for target in line.split()[1:]
        if "=" not in target and '"' not in target
    }

    assert {(page, target) for page, target in named if target not in known} == set()


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_every_file_that_a_page_links_or_runs_exists(page):
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    files = re.findall(r"\b((?:configs|simulations|scripts)/\w+\.\w+)", text)

    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [file for file in files if not (ROOT / file).exists()]
    assert missing == []


def test_the_readme_s_own_data_is_taken_as_it_says(tmp_path, monkeypatch):
    page = ROOT / "README.md"
    (shown,) = [block.code for block in blocks(page, "yaml") if "reviews.csv" in block.code]
    (tmp_path / "reviews.yaml").write_text(shown)
    rows = [(f"it is {n}", n % 5, f"product {n % 6}") for n in range(6 * 100)]
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("review", "rating", "product"), *rows])
    monkeypatch.chdir(tmp_path)
    lines = [line for place, line in SHELL if place == page and "run reviews.yaml" in line]
    (dry,) = [line for line in lines if "--dry-run" in line]

    done = CliRunner().invoke(app, [*shlex.split(dry)[1:], "--json"], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["plan"]["newcomers"] == 3


def test_the_question_sets_of_a_page_have_the_answers_that_it_says(tmp_path):
    page = ROOT / "docs" / "tasks.md"
    (shown,) = blocks(page, "json")
    *published, own = shown.code.splitlines()
    right = []
    for number, rows in enumerate(["\n".join(published), own]):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(rows)
        examples = Files(Config(path=file)).load().examples
        right += [
            choices[label] for choices, label in zip(examples.choices, examples.labels, strict=True)
        ]

    assert right.count("yes") == sum('"passage": "Ice' in row for row in published)
    assert right.count("ice") == len(right) - right.count("yes")
    for form in FORMATS:
        assert form.name in page.read_text()


def test_the_prompts_of_a_page_are_read(tmp_path):
    (shown,) = blocks(ROOT / "docs" / "prompts.md", "json")
    (tmp_path / "prompts.jsonl").write_text(shown.code)

    (prompt,) = read_prompts(tmp_path / "prompts.jsonl")

    assert prompt == Prompt("Which gas do plants take in?", "arc")
