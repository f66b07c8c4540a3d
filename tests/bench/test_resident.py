"""Memory is seen from outside, in a process and in those that it has started."""

import subprocess
import sys
import time
from contextlib import closing

import psutil

from fedlora.bench.resident import Watch, tree

HOLDS = "held = b'x' * (64 << 20); print('here', flush=True); input()"


def test_a_process_that_was_started_counts_and_a_short_block_is_seen():
    began = time.perf_counter()
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"here\n"
        with (
            closing(Watch(lambda: tree(psutil.Process(child.pid)))) as of_child,
            closing(Watch(lambda: tree(psutil.Process()))) as whole,
        ):
            pass
        child.communicate(b"\n")

    assert of_child.peak > 64 << 20
    assert whole.peak > of_child.peak
    assert time.perf_counter() - began < 10
    assert tree(psutil.Process()) != []


def test_nothing_is_left_of_a_process_that_is_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    root = psutil.Process(child.pid)
    child.wait()

    assert tree(root) == []
