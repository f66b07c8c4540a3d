"""The command line: what a user types, what is printed, and with which status."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from safetensors.torch import load_file, save_file

from fedlora.backbone.weights import locate
from fedlora.bank import Bank, Record
from fedlora.bank.quarantine import FOLDER, Quarantine
from fedlora.cli import main
from fedlora.cli.errors import term_as_interrupt
from fedlora.cli.output import show
from fedlora.config import dump
from tests.conftest import small_config

COMMAND = [sys.executable, "-c", "from fedlora.cli import main; main()"]


def fedlora(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which has loaded torch and transformers already."""
    out, err, argv = io.StringIO(), io.StringIO(), ["fedlora", *map(str, words)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, COLUMNS="120"),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    code = ended.value.code or 0
    return subprocess.CompletedProcess(argv, int(code), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    (root / "small.yaml").write_text(dump(small_config()))
    done = subprocess.run(
        [*COMMAND, "run", root / "small.yaml", "--out", root / "runs", "--json", "--profile"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    return next((root / "runs").iterdir())


def test_a_run_ends_with_a_table_and_a_page(run: Path):
    assert (run / "report" / "index.html").stat().st_size > 10_000
    assert json.loads((run / "results.json").read_text())["finished"]


def test_a_profiled_run_draws_where_its_time_went(run: Path):
    [times] = json.loads((run / "profile" / "times.json").read_text())
    assert times["seconds"]["training"] > 0
    assert "Where the time went" in (run / "report" / "index.html").read_text()
    again = fedlora("run", "--resume", run)
    assert again.returncode == 0
    assert "report:" in again.stdout


def test_the_bank_is_listed_shown_exported_and_imported(run: Path, tmp_path: Path):
    listed = json.loads(fedlora("bank", "list", run, "--json").stdout)
    assert len(listed) == 12
    shown = fedlora("bank", "show", run, listed[0]["digest"][:10], "--json")
    assert {"what": "task", "value": listed[0]["task"]} in json.loads(shown.stdout)
    exported = fedlora("bank", "export", run, tmp_path / "out", "--json")
    assert len(json.loads(exported.stdout)) == 12
    assert len(json.loads(fedlora("bank", "import", run, tmp_path / "out", "--json").stdout)) == 12
    assert len(json.loads(fedlora("bank", "list", run, "--json").stdout)) == 12


def test_a_plain_adapter_goes_in_once_and_only_if_it_is_of_this_base_model(
    run: Path, tmp_path: Path
):
    place, plain, other = tmp_path / "run", tmp_path / "plain", tmp_path / "vit"
    shutil.copytree(run, place)
    shutil.copytree(next((run / "seed-0" / "adapters").iterdir()), plain)
    (plain / "fedlora.json").unlink()
    config = json.loads((plain / "adapter_config.json").read_text())
    command = ("bank", "import", place, plain, "--task", "rotation=0,contrast=0.3")

    shutil.copytree(locate("tiny_vit"), other)
    tensors = load_file(other / "model.safetensors")
    next(iter(tensors.values())).add_(0.01)
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    long = "x" * 150 + "/" + "y" * 300
    for name, says in (
        (str(other), "another model than"),
        ("org/base", "which is not here to be"),
        (long, "which is not here to be"),
    ):
        text = json.dumps(config | {"base_model_name_or_path": name})
        (plain / "adapter_config.json").write_text(text)
        refused = fedlora(*command)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        shown = f"'{name}'"[:200]
        assert f"base_model_name_or_path is {shown}, {says}" in refused.stderr
        judged = fedlora("evaluate", place, "--adapter", plain, "--task", command[-1])
        assert judged.returncode == 2

    (plain / "adapter_config.json").write_text(json.dumps(config))
    assert "1 added, 0 there already" in fedlora(*command).stderr
    assert "0 added, 1 there already" in fedlora(*command).stderr


def test_a_finished_run_whose_bank_was_damaged_says_so(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    file = next((tmp_path / "run" / "seed-0" / "bank").glob("**/*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])

    again = fedlora("run", "--resume", tmp_path / "run")

    assert again.returncode == 2
    assert file.name in again.stderr.splitlines()[-1]


def test_what_is_in_quarantine_is_listed_released_and_dropped(run: Path):
    seed = next(run.glob("seed*"), run)
    bank = Bank.open(seed / "bank")
    first, second = bank.records()[:2]
    for record in (first, second):
        plain = Record(*record.key, record.seed, record.metrics)
        Quarantine(seed / FOLDER).hold(plain, bank.load(record.digest), bank.vector(record), "odd")

    rows = json.loads(fedlora("bank", "quarantine", "list", run, "--json").stdout)
    assert [(row["client"], row["reason"]) for row in rows] == [
        (record.client, "odd") for record in (first, second)
    ]
    released = fedlora("bank", "quarantine", "release", run, rows[0]["name"][:10], "--json")
    assert json.loads(released.stdout) == [{"released": first.digest}]
    assert fedlora("bank", "quarantine", "drop", run, rows[1]["name"], "--json").returncode == 0
    assert json.loads(fedlora("bank", "quarantine", "list", run, "--json").stdout) == []
    again = fedlora("bank", "quarantine", "drop", run, rows[1]["name"])
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_the_bank_of_a_run_that_has_not_ended_does_not_change(run: Path, tmp_path: Path):
    place = tmp_path / "run"
    shutil.copytree(run, place)
    assert fedlora("bank", "export", place, tmp_path / "out").returncode == 0
    (place / "seed-0" / "facts.json").unlink()
    for command in (("import", place, tmp_path / "out"), ("quarantine", "release", place, "a")):
        refused = fedlora("bank", *command)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "not finished, and its bank is not to change" in refused.stderr


@pytest.mark.parametrize("file", ["results.json", "seed-0/facts.json", "seed-0/ledger.jsonl",
                                  "seed-0/metrics.jsonl"])  # fmt: skip
@pytest.mark.parametrize("command", [("report",), ("run", "--resume")], ids=lambda c: c[0])
def test_json_that_is_nested_without_end_is_no_traceback(run, tmp_path, file, command):
    place = tmp_path / "run"
    shutil.copytree(run, place)
    (place / file).write_text("[" * 50_000)
    done = fedlora(*command, place)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr


def test_names_too_long_for_a_file_are_refused_in_one_line(run: Path):
    long = "x" * 300
    for command in (
        ("bank", "list", long),
        ("bank", "import", run, long),
        ("run", "configs/quickstart.yaml", f"backbone.name={long}", "--dry-run"),
    ):
        refused = fedlora(*command)
        assert refused.returncode == 2
        assert "too long" in refused.stderr.strip().splitlines()[-1]


def test_sigterm_ends_a_command_as_ctrl_c_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), term_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_streams_branch_is_not_judged_by_itself(tmp_path: Path):
    done = fedlora(
        "evaluate", "configs/digits_inflora.yaml", "--adapter", tmp_path, "--task", "0+8"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "its report has every task's accuracy" in done.stderr


def test_an_adapter_is_generated_and_evaluated(run: Path, tmp_path: Path):
    task = json.loads((run / "results.json").read_text())["rows"][0]["task"]
    made = fedlora("generate", run, "--task", task, "--out", tmp_path / "made", "--json")
    assert made.returncode == 0, made.stderr
    scored = fedlora("evaluate", run, "--adapter", tmp_path / "made", "--task", task, "--json")
    assert [row["adapter"] for row in json.loads(scored.stdout)] == ["base", str(tmp_path / "made")]


def test_help_does_not_wait_for_torch():
    loaded = "import sys, fedlora.cli; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "[]\n"


def test_help_explains_arguments_as_well_as_options():
    said = fedlora("run", "--help").stdout
    assert "A YAML file, such as those in configs/." in said
    assert "Go on with this run folder" in said


def test_what_can_be_named_is_listed():
    assert {"image_domains", "files"} <= {
        r["name"] for r in json.loads(fedlora("tasks", "--json").stdout)
    }
    assert {"cvae", "topk"} <= {
        r["name"] for r in json.loads(fedlora("generators", "--json").stdout)
    }


def test_a_dry_run_counts_before_anything_is_trained(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(dump(small_config()))
    done = fedlora("run", tmp_path / "small.yaml", "--dry-run", "--json")
    plan = json.loads(done.stdout)["plan"]
    assert plan["trainable values"] == 8 * 2 * (128 + 128)
    assert plan["bytes of one adapter"] == 4 * plan["trainable values"]
    assert plan["training examples"] == 8 * plan["training examples of the smallest client"]
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_a_run_that_goes_on_trains_nothing(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(dump(small_config()))
    done = fedlora("run", "--resume", tmp_path / "run", "--dry-run", "--json")
    assert json.loads(done.stdout)["plan"]["trainable values"] == 8 * 2 * (128 + 128)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_a_dry_run_opens_every_client_s_data(tmp_path: Path):
    ill = {"name": "files", "path": str(tmp_path / "images")}
    config = small_config(
        tasks={
            "name": "several",
            "tasks": {"well": {"name": "fashion_mnist"}, "ill": ill},
            "bank": None,
            "held_out": ["ill"],
            "splits": {"train": 24, "validation": 10, "test": 10},
        }
    )
    (tmp_path / "small.yaml").write_text(dump(config))
    done = fedlora("run", tmp_path / "small.yaml", "--dry-run")
    assert done.returncode == 2
    assert f"task 'ill': {tmp_path}/images: no such file or folder" in done.stderr


def test_an_interrupted_run_says_in_one_line_how_it_goes_on_and_does(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("seed-*", "results.json"))
    # Tests that were started in the background ignore Ctrl-C, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = subprocess.Popen(
        [*COMMAND, "run", "--resume", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "run" / "seed-0" / "checkpoints" / "journal.sqlite"
    while begun.poll() is None and not journal.exists():
        time.sleep(0.02)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate()
    assert begun.returncode == 130
    assert "Traceback" not in said
    way_on = said.strip().splitlines()[-1]
    assert way_on.startswith("interrupted; what is done is kept, go on with: fedlora run --resume")

    again = fedlora(*way_on.partition("fedlora ")[2].split())
    assert again.returncode == 0, again.stderr
    table = "seed-0/table.json"
    assert (tmp_path / "run" / table).read_bytes() == (run / table).read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["run", "configs/quickstart.yaml", "lora.rnk=3"], "did you mean 'rank'?"),
        (["run"], "name a configuration"),
        (["run", "--nope"], "No such option '--nope' (see"),
        (["runn"], "Did you mean 'run'?"),
        (["deploy", "init", "federation"], "Missing option '--hosts'"),
        (
            ["run", "configs/quickstart.yaml", "backbone.name=tiny_vti", "--dry-run"],
            "did you mean 'tiny_vit'?",
        ),
        (["report", "nowhere"], "nowhere"),
        (["bank", "list", "nowhere"], "nowhere: not a run folder"),
    ],
)
def test_a_mistake_is_one_line_and_status_two(words: list[str], says: str):
    done = fedlora(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_name_in_a_table_is_shown_and_not_obeyed(capsys):
    show([{"task": "[/x] [red]a[/red] [link=http://x]b[/link]", "sent": "\x1b[2J\n"}], False)

    told = "".join(capsys.readouterr().out.split())
    assert "[/x][red]a[/red]" in told.replace("┃", "").replace("│", "")
    assert "\x1b[2J" not in told
    assert "x1b[2J" in told
