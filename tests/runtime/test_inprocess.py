import subprocess
import sys

RUN = """
import sys
from pathlib import Path

from fedlora import run_folder
from fedlora.runtime import run as running
from fedlora.server.observer import Silent
from tests.runtime.tiny_run import tiny_run

config = tiny_run()
results = running.run(config, run_folder.create(config, Path(sys.argv[1])), Silent())
assert results["fingerprint"]
print(sorted({"flwr", "ray"} & set(sys.modules)))
"""


def test_a_run_in_process_needs_neither_flower_nor_ray(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
