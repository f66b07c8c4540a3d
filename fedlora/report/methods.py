"""The methods of the table: how they are called, what they need, how they look."""

from dataclasses import dataclass
from enum import StrEnum

from fedlora.evaluation.table import METHODS
from fedlora.report.formats import printable


class Needs(StrEnum):
    """What a newcomer has to do for its adapter; methods compete within one of these."""

    NOTHING = "Given at once, no training"
    LABELS = "Settled on with labels of its own"
    EPOCH = "After one local epoch"
    TRAINING = "After local training"


@dataclass(frozen=True)
class Method:
    """One method. `marker` is matplotlib's, so that colour is never the only sign."""

    name: str
    label: str
    about: str
    needs: Needs = Needs.NOTHING
    marker: str = "o"


_KNOWN = (
    Method("base", "Base model", "the frozen model without an adapter"),
    Method("warm", "Warm start", "the federated average that fine-tuning starts from", marker="s"),
    Method("mean", "Mean of the bank", "uniform average of the trained updates", marker="^"),
    Method("nearest", "Nearest in the bank", "the adapter of the most similar task", marker="v"),
    Method("topk", "Top-k mixture", "similar tasks' updates, weighted by similarity", marker="D"),
    Method("ridge", "Ridge regression", "a linear map from task vector to weights", marker="P"),
    Method("generated", "Generated", "the generator's adapter, given the task vector"),
    Method(
        "shuffled",
        "Generated, shuffled",
        "generated from another task's vector: must do worse",
        marker="X",
    ),
    Method(
        "zero_one_epoch",
        "Zero + one epoch",
        "one local epoch from an empty adapter",
        Needs.EPOCH,
        marker="s",
    ),
    Method(
        "warm_one_epoch",
        "Warm start + one epoch",
        "one local epoch from the warm start",
        Needs.EPOCH,
        marker="^",
    ),
    Method(
        "generated_one_epoch",
        "Generated + one epoch",
        "one local epoch from the generated adapter",
        Needs.EPOCH,
    ),
    Method(
        "few_labels",
        "LoRA on few labels",
        "local training on a few labelled samples",
        Needs.TRAINING,
        marker="s",
    ),
    Method(
        "local",
        "Local LoRA",
        "local training on all local data: the ceiling",
        Needs.TRAINING,
        marker="o",
    ),
)
_BY_LABELS = ("label_mix", "best_of")
_REFINED = ("_gated", "_refined")
"""How ways to adopt are named that use labels."""
_BY_NAME = {method.name: method for method in _KNOWN}
_ORDER = {name: place for place, name in enumerate(METHODS)}


def method(name: str, few_labels: int | None = None) -> Method:
    """The method of that name; one that is not known competes without training."""
    if name == "few_labels" and few_labels:
        known = _BY_NAME[name]
        return Method(name, f"LoRA on {few_labels} labels", known.about, known.needs, marker="s")
    if name in _BY_NAME:
        return _BY_NAME[name]
    label = printable(name.replace("_", " "), 26)
    if name.startswith(_BY_LABELS) or name.endswith(_REFINED):
        return Method(name, label, "a further way to adopt", Needs.LABELS, marker="d")
    return Method(name, label, "a further generator", marker="h")


def order(name: str) -> tuple[int, str]:
    """Sort key: the order of the story; unknown methods stand before the generated adapter."""
    return (_ORDER.get(name, _ORDER["generated"]), "" if name in _ORDER else name)
