"""The same federation on pfl-research (Granqvist et al. 2024, arXiv 2404.06430).

As its benchmarks are written (https://github.com/apple/pfl-research, folder benchmarks,
image_classification and llm): a PyTorchModel, a FederatedDataset, and FederatedAveraging on a
SimulatedBackend. pfl keeps one model in the process and trains its users one after another.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.hyperparam import HyperParam, NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from pfl.postprocessor.base import Postprocessor
from torch import nn

from simulations.peers.federation import Federation, Rows
from simulations.peers.model import Learner
from simulations.peers.turns import await_go


class Network(nn.Module):
    """What pfl asks of a module: `loss` and `metrics`."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def loss(self, **rows: torch.Tensor) -> torch.Tensor:
        return self.learner(**rows)["loss"]

    def metrics(self, **_: torch.Tensor) -> dict[str, Any]:
        return {}


class Replies(Postprocessor):
    """Keeps what each user sends: its adapter, from the difference that pfl works with."""

    def __init__(self, start: Rows) -> None:
        self.start = start
        self.of: dict[int, Rows] = {}

    def postprocess_one_user(self, *, stats: Any, user_context: Any) -> tuple[Any, Metrics]:
        self.of[user_context.user_id] = {
            name: stats[name] + self.start[name] for name in self.start
        }
        return stats, Metrics()

    def postprocess_server(self, *, stats: Any, **_: Any) -> tuple[Any, Metrics]:
        return stats, Metrics()


class Cohort(HyperParam):
    """How many users take part: some in the warm-up, then all."""

    def __init__(self, first: int) -> None:
        self.users = first

    def value(self) -> int:
        return self.users


class Turns(TrainingProcessCallback):
    """Every round starts from the same adapter, at the word of whoever measures."""

    def __init__(self, start: Rows, cohort: Cohort, everyone: int) -> None:
        self.start = start
        self.cohort = cohort
        self.everyone = everyone

    def after_central_iteration(
        self, aggregate_metrics: Any, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        more = await_go("done")
        model.set_parameters(self.start)
        self.cohort.users = self.everyone
        return not more, Metrics()


def run(federation: Federation) -> None:
    settings = federation.settings
    network = Network(Learner(federation))
    first = federation.start()
    steps = -(-settings["examples"] // settings["batch_size"])

    def local_optimizer(parameters: Iterator[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """AdamW whose rate falls linearly to zero over a user's steps."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=settings["weight_decay"])
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    model = PyTorchModel(network, local_optimizer, torch.optim.SGD(trained, lr=1.0))
    # pfl's names of the parameters; PEFT leaves the adapter's own name out of its states.
    start = {name: first[_peft_name(name)] for name in model.variable_map}
    model.set_parameters(start)
    users = {
        client: PyTorchTensorDataset(federation.rows(client), user_id=client)
        for client in range(federation.clients)
    }
    order = cycle(users)
    data = FederatedDataset(users.__getitem__, lambda: next(order))
    replies, cohort = Replies(start), Cohort(federation.warm_up)
    if not await_go("ready"):
        return
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=10**6,
            evaluation_frequency=10**6,
            train_cohort_size=cohort,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(training_data=data, val_data=data, postprocessors=[replies]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_batch_size=settings["batch_size"],
            local_num_epochs=1,
            local_learning_rate=settings["learning_rate"],
            local_max_grad_norm=settings["clip_norm"],
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=settings["batch_size"]),
        callbacks=[Turns(start, cohort, federation.clients)],
        send_metrics_to_platform=False,
    )
    federation.write(
        {
            client: {_peft_name(name): value for name, value in reply.items()}
            for client, reply in replies.of.items()
        }
    )


def _peft_name(name: str) -> str:
    return name.removeprefix("learner.model.").replace(".default", "")
