"""Rehearse a deployment of four hosts on this machine: a server, two clients, a newcomer.

    python scripts/rehearse_deployment.py

As root the hosts are network namespaces joined by a bridge, else the loopback of this machine.
TLS and keys in either case; everything is stopped at the end, and the folder stays.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path

from fedlora.bench.deploy.hosts import hosts, missing
from fedlora.bench.deploy.newcomers import newcomer_data, take_part
from fedlora.bench.deploy.rehearsal import rehearsal

NAMES = ("server", "client-0", "client-1", "newcomer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("configs/deployment.yaml"))
    parser.add_argument("--folder", type=Path, default=Path("runs/rehearsal"))
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    reason = missing()
    print("four network namespaces" if reason is None else f"the loopback: {reason}")
    with (
        hosts(NAMES) if reason is None else nullcontext(()) as joined,
        rehearsal(wanted.folder.absolute(), clients=2, hosts=joined) as federation,
    ):
        server = federation.serve()
        print("the server is up; two clients join")
        federation.join(0)
        federation.join(1)
        federation.submit(wanted.config)
        results = federation.results(seconds=3600.0)
        print(f"run: {federation.run}")
        print(f"fingerprint of the bank: {results['fingerprint']}")
        served = take_part(federation, newcomer_data(wanted.folder / "newcomer"))
        print(f"a newcomer left with its adapter after {served.seconds:.1f} s")
        print(f"report: {federation.run / 'report' / 'index.html'}")
        print("the server said:", *server.said().splitlines(), sep="\n  ")


if __name__ == "__main__":
    main()
