"""A SuperLink and SuperNodes on this machine, for runs to be sent to until Ctrl-C.

    python scripts/deploy_local.py --nodes 2

Insecure, and therefore on the loopback only.
"""

import argparse
import signal
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlora.runtime.loopback import NAME, loopback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=2, help="SuperNodes to start")
    parser.add_argument("--logs", type=Path, help="folder for the processes' logs")
    wanted = parser.parse_args()
    with TemporaryDirectory(prefix="fedlora-") as temporary:
        home, logs = Path(temporary) / "flower", (wanted.logs or Path(temporary)).absolute()
        home.mkdir()
        logs.mkdir(parents=True, exist_ok=True)
        with loopback(wanted.nodes, home, logs):
            print(f"{wanted.nodes} SuperNodes; their logs are in {logs}")
            print("in another shell:\n")
            print(f"  export FLWR_HOME={home}")
            there = f"runtime.name=deployment runtime.address={NAME} runtime.nodes={wanted.nodes}"
            print(f"  fedlora run configs/quickstart.yaml {there}")
            print(f"  flwr run . {NAME} --stream\n")
            print("Ctrl-C stops them", flush=True)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                signal.pause()
            print("\nstopping")


if __name__ == "__main__":
    main()
