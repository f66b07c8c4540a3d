"""Noisy answers that this process has given, so that nobody has their noise drawn anew."""

from dataclasses import dataclass, field

from fedlora.config import RunConfig
from fedlora.privacy.chance import repeats
from fedlora.wire.message import JSON, Message

Purpose = tuple[int, str, JSON]
"""A client, an action, a round."""


@dataclass(frozen=True, eq=False)
class Released:
    """The frames that the clients of one run and seed have sent with noise.

    A budget pays for one answer to each question of the plan. The mean of many, each with noise of
    its own, would tell what the noise hides, so that whoever asks again gets the same frame,
    whatever else the question says. Where noise follows from the seed, as in a simulation, nothing
    is kept.

    noisy: the actions that are answered with noise.
    """

    noisy: frozenset[str]
    frames: dict[Purpose, bytes] = field(default_factory=dict)

    def purpose(self, client: int, action: str, message: Message) -> Purpose | None:
        """What an answer is for; None where it has no noise."""
        return (client, action, message.meta.get("round")) if action in self.noisy else None

    def before(self, purpose: Purpose | None) -> bytes | None:
        """What was sent for a purpose, if anything was."""
        return self.frames.get(purpose) if purpose else None

    def keep(self, purpose: Purpose | None, frame: bytes) -> bytes:
        """What is to be sent: the first frame that there was for its purpose."""
        return self.frames.setdefault(purpose, frame) if purpose else frame


_OF_RUNS: dict[tuple[str, int], Released] = {}
"""By configuration and seed, as long as the process lives."""


def released(config: RunConfig, seed: int) -> Released:
    """What this process has said of a run and seed."""
    privacy = config.privacy
    if privacy is None or repeats(config):
        return Released(frozenset())
    noisy = {"warm_up", "grow", "finetune"} if privacy.examples else set[str]()
    noisy |= {"describe"} if privacy.task_vector else set()
    return _OF_RUNS.setdefault((config.model_dump_json(), seed), Released(frozenset(noisy)))
