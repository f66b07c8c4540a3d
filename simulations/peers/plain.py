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
    # To load through PEFT's own function would take longer than a small client's training.
    parameters = {
        name.replace(".default", ""): parameter
        for name, parameter in learner.model.named_parameters()
        if parameter.requires_grad
    }
    replies: dict[int, Rows] = {}
    for number in rounds():
        chosen = list(everyone)[: None if number else federation.warm_up]
        for client in chosen:
            for name, parameter in parameters.items():
                parameter.data.copy_(start[name])
            train(learner, federation, everyone[client])
            replies[client] = {name: p.detach().clone() for name, p in parameters.items()}
        examples = [len(next(iter(everyone[client].values()))) for client in chosen]
        average([replies[client] for client in chosen], examples)
    federation.write(replies)
