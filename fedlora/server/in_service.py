"""What a run keeps for newcomers after its end: enough to offer them what its own were offered."""

import json
from pathlib import Path

from fedlora import atomic
from fedlora.adapter import LoraAdapter, bundle
from fedlora.adoption.chosen import Chosen
from fedlora.adoption.contract import Policy
from fedlora.adoption.given import Given, GivenConfig
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.nearest import Nearest
from fedlora.generators.saved import load_generator
from fedlora.server.growers import FOLDER as GROWTH
from fedlora.server.offering import Offering
from fedlora.server.trial import FILE as TRIAL

FOLDER = "serving"
NEAREST, WARM = "nearest", "warm.safetensors"
"""What is kept there beside methods: the bank's tasks, and the warm start."""
ELSEWHERE = {"generated": "generator", "grown": GROWTH}
"""Where a run keeps methods anyway."""


def policy_in_service(config: RunConfig, *, labels: bool) -> Policy:
    """The run's own policy, or its first method's adapter where it needs labels and has none."""
    policy: Policy = config.adoption.policy.build()
    if labels or not policy.needs_labels:
        return policy
    if isinstance(policy, Chosen):
        return policy.unlabelled()
    return Given(GivenConfig.model_validate({"method": method_in_service(config, None)}))


def method_in_service(config: RunConfig, chosen: str | None) -> str:
    """The method of the table that the run's adoption serves with; chosen: by its trial."""
    policy = config.adoption.policy.build()
    return next(iter(_methods(policy, chosen)), "generated")


def keep_in_service(config: RunConfig, folder: Path, offering: Offering) -> None:
    """Keep what the run's own policy makes offers of.

    Raises:
        FedloraError: it offers the warm start, and there is none.
    """
    policy, place = config.adoption.policy.build(), folder / FOLDER
    methods = _methods(policy, offering.chosen)
    kept = {m: offering.learned[m] for m in methods if m in offering.learned and m not in ELSEWHERE}
    if policy.needs_neighbours and offering.nearest is not None:
        kept[NEAREST] = offering.nearest
    for name, generator in kept.items():
        generator.save(place / name)
    if "warm" in methods:
        if offering.warm is None:
            raise FedloraError("adoption.policy: there is no common warm start to give a newcomer")
        atomic.write_bytes(place / WARM, bundle.to_bytes({"warm": offering.warm}))


def open_service(
    config: RunConfig, folder: Path, seed: int, policy: Policy, *, one: bool = False
) -> Offering:
    """What a policy makes offers of, from the folder of a seed or of the pipeline.

    seed: of the run. one: whether one generator stands for every method that was not kept, as in
    the pipeline.

    Raises:
        FedloraError: the run is not finished, or what it kept is damaged.
    """
    chosen = None
    if isinstance(policy, Chosen):
        chosen = _chosen(folder) or method_in_service(config, None)
    methods = _methods(policy, chosen)
    return Offering(
        {m: load_generator(_folder_of(m, folder, one)) for m in methods if m != "warm"},
        seed=seed,
        prompts=config.task_vector.prompts,
        rank=config.lora.rank,
        nearest=_nearest(folder / FOLDER / NEAREST) if policy.needs_neighbours else None,
        warm=_warm(folder / FOLDER / WARM) if "warm" in methods else None,
        chosen=chosen,
    )


def _methods(policy: Policy, chosen: str | None) -> tuple[str, ...]:
    """What a policy serves with; of several that are tried, what won."""
    if isinstance(policy, Chosen) and chosen is not None:
        return policy.serving(chosen)
    return policy.methods


def _chosen(folder: Path) -> str | None:
    """What won the trial, if one was held."""
    trial = folder / TRIAL
    if not trial.is_file():
        return None
    try:
        return str(json.loads(trial.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedloraError(f"{trial}: damaged ({error}); resume the run") from None


def _folder_of(method: str, folder: Path, one: bool) -> Path:
    """Of the generator that a method is made by."""
    place = folder / ELSEWHERE.get(method, f"{FOLDER}/{method}")
    return folder / "generator" if one and not place.is_dir() else place


def _nearest(place: Path) -> Nearest:
    if not place.is_dir():
        raise FedloraError(f"{place}: nothing there to compare a task with; resume the run")
    return Nearest.load(place)


def _warm(file: Path) -> LoraAdapter:
    try:
        return bundle.from_bytes(file.read_bytes())["warm"]
    except (OSError, KeyError, FedloraError) as error:
        raise FedloraError(f"{file}: damaged ({error}); resume the run") from None
