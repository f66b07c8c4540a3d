"""A hand-written loop: the limit of what one client at a time can reach.

As a researcher writes it who needs no federation: the model is loaded and wrapped once, the
adapter is reset in place, the clients train one after another.
"""

from simulations.peers.federation import Federation, Rows
from simulations.peers.model import Learner, average, train
from simulations.peers.turns import rounds


def run(federation: Federation) -> None:
    learner, start = Learner(federation), federation.start()
    everyone = {client: federation.rows(client) for client in range(federation.clients)}
    replies: dict[int, Rows] = {}
    for number in rounds():
        chosen = list(everyone)[: None if number else federation.warm_up]
        for client in chosen:
            learner.reset(start)
            train(learner, federation, everyone[client])
            replies[client] = learner.copy()
        examples = [len(next(iter(everyone[client].values()))) for client in chosen]
        average([replies[client] for client in chosen], examples)
    federation.write(replies)
