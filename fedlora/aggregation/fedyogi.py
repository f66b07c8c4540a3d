"""FedAvg of the factors, then a step of Yogi on the server."""

from fedlora.aggregation.fedadam import FedAdam


class FedYogi(FedAdam):
    """FedYogi (Reddi et al. 2021, arXiv 2003.00295) by `flwr.serverapp.strategy.FedYogi`.

    One rank only. Values of a layer: r (d_in + d_out) up, r (d_in + d_out) down.
    """

    strategy = "FedYogi"
