"""Federations made for a test, on ports of their own."""

from fedlora.runtime.deploy.initialise import initialise
from fedlora.runtime.processes import free_ports


def make(folder, clients=2, hosts=("127.0.0.1",), secure=True):
    """The places of a new federation in folder/fed."""
    port, control = free_ports(2)
    return initialise(folder / "fed", "test", hosts, clients, port, control, secure, None)
