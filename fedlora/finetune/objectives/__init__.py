"""How examples of each kind are encoded, learned from, and scored."""

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Metric, Objective, Rows
from fedlora.finetune.objectives.image_classification import ImageClassification
from fedlora.finetune.objectives.language_modelling import LanguageModelling
from fedlora.finetune.objectives.multiple_choice import MultipleChoice
from fedlora.finetune.objectives.object_detection import ObjectDetection
from fedlora.finetune.objectives.prompted_images import PromptedImages
from fedlora.finetune.objectives.text_classification import TextClassification
from fedlora.tasks.contract import Kind

__all__ = ["Metric", "Objective", "Rows", "objective_for"]


def objective_for(
    slot: AdapterSlot, kind: Kind, label_names: tuple[str, ...], train_head: bool, max_length: int
) -> Objective:
    """The objective of a task's kind on a wrapped base model.

    Raises:
        FedloraError: the base model cannot do this kind of task.
    """
    if kind == "image-classification":
        if slot.base.clip is not None:
            return PromptedImages(slot, label_names, train_head)
        return ImageClassification(slot, label_names, train_head)
    if kind == "text-classification":
        return TextClassification(slot, label_names, train_head, max_length)
    if train_head:
        raise FedloraError(f"lora.head: a {kind} task has no classification head; set it to false")
    if kind == "object-detection":
        return ObjectDetection(slot, label_names, max_length)
    if kind == "multiple-choice":
        return MultipleChoice(slot, label_names, max_length)
    return LanguageModelling(slot, label_names, max_length)
