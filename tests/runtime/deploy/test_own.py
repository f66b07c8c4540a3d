import pytest

from fedlora.config import from_dict
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.own import Own, own_of_environment, read_data
from tests.runtime.tiny_run import tiny_run


def several(**tasks):
    return from_dict(
        {"name": "x", "backbone": {"name": "tiny_vit"}, "tasks": {"name": "several"} | tasks},
        origin="a test",
    )


MINE = {"a": {"name": "files", "path": "a.csv", "label": "y"}, "b": {"name": "digits"}}


def test_a_path_alone_is_the_data_of_the_only_task_that_is_carried():
    config = several(tasks=MINE)

    followed = Own({"": "/mine.csv"}, None, share=0, shares=2).apply(config)
    tasks = followed.tasks.options().tasks
    assert str(tasks["a"].options().path) == "/mine.csv"
    assert tasks["a"].options().label == "y"  # what the server says of columns stays
    assert tasks["b"] == config.tasks.options().tasks["b"]
    with pytest.raises(FedloraError, match=r"carries 2 tasks \(a, b\)"):
        Own({"": "/mine.csv"}, None, share=0, shares=1).apply(config)


def test_nothing_but_data_and_model_is_the_clients_to_say():
    config = several(tasks=MINE)

    followed = Own({"b": "/b.csv"}, "/models/mine", 0, 1).apply(config)
    same = followed.model_copy(update={"tasks": config.tasks, "backbone": config.backbone})
    assert same == config
    assert followed.backbone.name == "/models/mine"
    assert followed.tasks.options().tasks["b"].name == "files"


@pytest.mark.parametrize(
    ("config", "data", "words"),
    [
        (several(tasks=MINE), {"c": "/c"}, "no task 'c'; the run has a, b"),
        (tiny_run(), {"c": "/c"}, "makes its examples from a source of its own"),
    ],
)
def test_data_that_no_task_asks_for_is_refused(config, data, words):
    with pytest.raises(FedloraError, match=words):
        Own(data, None, 0, 1).apply(config)


def test_own_passes_through_the_environment(monkeypatch):
    own = Own({"a": "/with space=and more"}, None, None, 3)
    for name, value in own.variable().items():
        monkeypatch.setenv(name, value)

    assert own_of_environment() == own


def test_data_is_named_on_the_command_line_by_task_or_not_at_all(tmp_path):
    (tmp_path / "a.csv").touch()
    (tmp_path / "x=y.csv").touch()

    assert read_data([f"a={tmp_path}/a.csv"]) == {"a": f"{tmp_path}/a.csv"}
    assert read_data([f"{tmp_path}/x=y.csv"]) == {"": f"{tmp_path}/x=y.csv"}
    for words, complaint in ((["nowhere"], "no such"), ([str(tmp_path)] * 2, "given twice")):
        with pytest.raises(FedloraError, match=complaint):
            read_data(words)
