"""Fuzz one reader of what others send, guided by the code that an input reaches.

    pip install atheris==3.0.0             # Linux, Python 3.11 to 3.13
    python scripts/fuzz.py                 # lists the readers
    python scripts/fuzz.py message 60      # one of them for 60 seconds

`fedlora bench trust --only fuzz` reads mutations of the same valid inputs without atheris. An input
that crashes is written to crash-HASH in the working directory.
"""

import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.registry import nearest


def main(arguments: Sequence[str]) -> int:
    if find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris==3.0.0", file=sys.stderr)
        return 2
    import atheris

    with atheris.instrument_imports(include=["fedlora"]):
        from fedlora.bench.trust.fuzz import targets

    every = {target.name: target for target in targets()}
    if not arguments:
        print("\n".join(every))
        return 0
    name, seconds = arguments[0], arguments[1] if len(arguments) > 1 else "60"
    if name not in every:
        print(f"no reader '{name}'; {nearest(name, list(every))}", file=sys.stderr)
        return 2
    read = every[name].read

    def one_input(data: bytes) -> None:
        try:
            read(data)
        except FedloraError:
            return

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(every[name].seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", corpus], one_input)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
