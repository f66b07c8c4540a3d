"""Fuzz one reader of what others send, guided by the code that an input reaches.

    make .cache/atheris/.peer                             # Linux, Python 3.11 to 3.13
    .cache/atheris/bin/python scripts/fuzz.py             # lists the readers
    .cache/atheris/bin/python scripts/fuzz.py message     # one of them for a minute
    .cache/atheris/bin/python scripts/fuzz.py message --seconds 600
    .cache/atheris/bin/python scripts/fuzz.py message --runs 5000

`fedlora bench trust` does the last for every reader, and reads mutations of the same valid inputs
without atheris. An input that crashes is written to crash-HASH in the working directory.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.registry import nearest

# Of one input, before it counts as a crash: seconds, and MiB of the whole process.
SLOWEST, MOST = 10, 4096


def main(arguments: Sequence[str]) -> int:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("reader", nargs="?", help="one of those that are listed without it")
    amount = own.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=int, default=60)
    amount.add_argument("--runs", type=int, help="inputs, in place of a time")
    given = own.parse_args(arguments)
    if find_spec("atheris") is None:
        print("atheris is not installed: make .cache/atheris/.peer", file=sys.stderr)
        return 2
    import atheris

    with atheris.instrument_imports(include=["fedlora"]):
        from fedlora.bench.trust.fuzz import targets

    every = {target.name: target for target in targets()}
    if given.reader is None:
        print("\n".join(every))
        return 0
    if given.reader not in every:
        print(f"no reader '{given.reader}'; {nearest(given.reader, list(every))}", file=sys.stderr)
        return 2
    read = every[given.reader].read

    def one_input(data: bytes) -> None:
        try:
            read(data)
        except FedloraError:
            return

    much = f"-runs={given.runs}" if given.runs else f"-max_total_time={given.seconds}"
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(every[given.reader].seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        limits = [f"-timeout={SLOWEST}", f"-rss_limit_mb={MOST}", "-seed=1"]
        atheris.Setup([sys.argv[0], much, *limits, corpus], one_input)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
