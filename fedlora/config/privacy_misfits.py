"""What would tell of examples or clients past the noise of a private run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlora.config.run import RunConfig


def misfit_of_privacy(config: "RunConfig") -> str | None:
    """What would tell of examples past the noise."""
    privacy = config.privacy
    if privacy and privacy.task_vector and config.task_vector.features != ("pooled",):
        return (
            "privacy.task_vector: covers pooled features alone; set task_vector.features=[pooled]"
        )
    if privacy and privacy.clients and (misfit := _misfit_of_client_privacy(config)):
        return misfit
    if privacy and config.tried:
        return "adoption.policy: what clients say of methods is not covered by privacy; name one"
    if privacy and config.screening.peers:
        return "screening.peers: what peers say of adapters is not covered by privacy; set it to 0"
    if not privacy or not privacy.examples:
        return None
    if config.finetune.patience or config.warm_start.train.patience or config.growth.train.patience:
        return "privacy.examples: does not cover when training stops early; leave patience out"
    if config.warm_start.score or config.adoption.contribute:
        return "privacy.examples: does not cover warm_start.score nor adoption.contribute"
    duties = [config.warm_start.aggregation.build().duty(turn) for turn in (1, 2)]
    # Only `up` moves with noise, so that every round has to train and to send it.
    moves = all("up" in duty.trains and "up" in duty.sends for duty in duties)
    if not moves or any(d.controls or d.prunes or d.pull or d.folds for d in duties):
        name = config.warm_start.aggregation.name
        return f"warm_start.aggregation: privacy.examples has no proof for '{name}'; choose fedavg"
    return None


def _misfit_of_client_privacy(config: "RunConfig") -> str | None:
    """What would tell of a client past the noise on the rounds."""
    rounds, method = config.warm_start, config.warm_start.aggregation.build()
    if not rounds.rounds:
        return "privacy.clients: there is nothing to protect; set warm_start.rounds of at least 1"
    if any(method.duty(turn).trains != ("up",) for turn in (1, 2)):
        return (
            f"warm_start.aggregation: '{rounds.aggregation.name}' trains down, and noise on both"
            " factors would be multiplied; with privacy.clients choose ffa"
        )
    if rounds.weights != "equal":
        return "privacy.clients: counts every client alike; set warm_start.weights=equal"
    if config.screening.of_rounds:
        return (
            "privacy.clients: what screening keeps out tells of clients; set screening.rounds=false"
        )
    if config.growth.rounds:
        return "privacy.clients: does not cover growth; set growth.rounds=0"
    return None
