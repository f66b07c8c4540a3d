"""What the two Flower apps share: a server that averages, and how the simulation is started."""

import os
from collections.abc import Iterable
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from simulations.peers.federation import Federation
from simulations.peers.turns import await_go

FOLDER = "PEERS_FEDERATION"
"""Where the processes of Ray find the federation."""


class NoMoreRoundsError(Exception):
    """Whoever measures has seen enough."""


class TimedFedAvg(FedAvg):
    """FedAvg over all nodes, whose rounds wait for "go" and all start from the same adapter."""

    def __init__(self, federation: Federation, start: ArrayRecord) -> None:
        share = federation.warm_up / federation.clients
        super().__init__(
            fraction_train=share,
            fraction_evaluate=0.0,
            min_train_nodes=federation.warm_up,
            min_evaluate_nodes=0,
            min_available_nodes=federation.clients,
        )
        self.federation = federation
        self.first = start
        self.word = "ready"
        self.replies: dict[int, ArrayRecord] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if not await_go(self.word):
            raise NoMoreRoundsError
        return super().configure_train(server_round, self.first, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        whole = list(replies)
        for reply in whole:
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
        out = super().aggregate_train(server_round, whole)
        for reply in whole:
            client = int(reply.content["metrics"]["client"])
            self.replies[client] = reply.content["arrays"]
        self.word, self.fraction_train = "done", 1.0
        return out


def run(app: ClientApp, federation: Federation) -> None:
    """`flwr run` with as many nodes as clients, one CPU a client."""
    os.environ[FOLDER] = str(federation.folder)
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        start = ArrayRecord(federation.start())
        strategy = TimedFedAvg(federation, start)
        try:
            strategy.start(grid=grid, initial_arrays=start, num_rounds=10**6)
        except NoMoreRoundsError:
            replies = strategy.replies.items()
            federation.write({client: sent.to_torch_state_dict() for client, sent in replies})

    run_simulation(
        server_app=server,
        client_app=app,
        num_supernodes=federation.clients,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )


def here() -> Federation:
    """The federation, in a process of Ray."""
    return Federation(Path(os.environ[FOLDER]))
