import json
import subprocess
import sys
import time

import pytest

from fedlora.spans import Span, inherited, own_times, recording, serve, span


@pytest.fixture(autouse=True)
def server():
    """What a run's own process calls before it begins."""
    serve()


def made(kind, start, seconds):
    return Span(kind, start, seconds, process=1, thread=1)


def test_a_kind_s_own_time_leaves_out_what_is_inside():
    spans = [
        made("waiting", 0.0, 10.0),
        made("training", 1.0, 4.0),
        made("serialisation", 4.0, 0.5),
        made("training", 6.0, 2.0),
        made("generator", 12.0, 3.0),
    ]

    times = own_times(spans)

    assert times == pytest.approx(
        {"waiting": 4.0, "training": 5.5, "serialisation": 0.5, "generator": 3.0, "other": 2.0}
    )
    assert sum(times.values()) == pytest.approx(15.0)


def test_nothing_is_written_unless_somebody_asks(tmp_path):
    with span("training"):
        pass
    with recording(tmp_path / "profile"):
        pass

    [process] = json.loads((tmp_path / "profile" / "times.json").read_text())
    assert process["process"] == "server"
    assert "training" not in process["seconds"]


def test_what_other_processes_did_is_in_the_summary_and_in_the_trace(tmp_path):
    child = (
        "from fedlora.spans import flush, span\n"
        "import time\n"
        "with span('training'):\n"
        "    time.sleep(0.2)\n"
        "flush()\n"
    )
    with recording(tmp_path), span("waiting"):
        subprocess.run([sys.executable, "-c", child], check=True)
        time.sleep(0.1)
    assert inherited() == {}

    times = {p["process"]: p["seconds"] for p in json.loads((tmp_path / "times.json").read_text())}
    [node] = [seconds for name, seconds in times.items() if name != "server"]
    assert 0.2 <= node["training"] < times["server"]["waiting"]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    [training] = [event for event in events if event["name"] == "training"]
    assert training["dur"] == pytest.approx(node["training"] * 1e6)


def test_what_a_killed_start_left_behind_is_neither_counted_nor_a_problem(tmp_path):
    (tmp_path / "node-1.jsonl").write_text('{"kind": "training", "start": 0, "secon')
    child = f"open({str(tmp_path / 'node-2.jsonl')!r}, 'w').write('cut sho')"
    with recording(tmp_path):
        subprocess.run([sys.executable, "-c", child], check=True)

    times = json.loads((tmp_path / "times.json").read_text())
    assert [process["process"] for process in times] == ["node process 2", "server"]
    assert times[0]["seconds"] == {}


def test_a_span_that_raises_is_noted_and_the_error_passes(tmp_path):
    with recording(tmp_path), pytest.raises(KeyError), span("storing"):
        raise KeyError

    [process] = json.loads((tmp_path / "times.json").read_text())
    assert process["seconds"]["storing"] >= 0
