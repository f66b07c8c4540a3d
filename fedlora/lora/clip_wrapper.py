"""The wrapper for CLIP: adapters in the towers, the projections, the head."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from typing_extensions import override

from fedlora.config import CLIP_TARGETS, Component
from fedlora.errors import FedloraError
from fedlora.lora.clip_model import FederatedCLIPModel
from fedlora.lora.config import LoRAConfig
from fedlora.lora.targets import adaptable_layers, check_targets, matches, unfit_layers
from fedlora.lora.wrapper import LoRAWrapper
from fedlora.registry import nearest

COMPONENTS: tuple[Component, ...] = get_args(Component)

TOWERS = {"encoder": "clip.vision_model", "text_encoder": "clip.text_model"}
PROJECTIONS = {"encoder": "clip.visual_projection", "text_encoder": "clip.text_projection"}

OWN_COMPONENT = {
    "classifier": "classifier",
    "visual_projection": "projection",
    "text_projection": "projection",
}
"""Layers that are a component by themselves, or part of a small one."""


class CLIPLoRAWrapper(LoRAWrapper):
    """A federated CLIP with adapters in some of its components.

    Args:
        federated_clip_model: what to wrap.
        lora_config: rank, layers and the rest; `target_modules="auto"` takes query, key, value
            and both layers of the MLP.
        target_components: `encoder` (the vision tower), `text_encoder`, `classifier`, and
            `projection`, which is the named towers', or the vision tower's alone.

    Raises:
        FedloraError: the model is none, or a component is unknown.
    """

    target_components: tuple[str, ...] = ()

    def __init__(
        self,
        federated_clip_model: FederatedCLIPModel,
        lora_config: LoRAConfig | None = None,
        target_components: Sequence[str] = ("encoder",),
    ) -> None:
        super().__init__(federated_clip_model, lora_config)
        if not isinstance(federated_clip_model, FederatedCLIPModel):
            raise FedloraError(
                f"{type(federated_clip_model).__name__} is no FederatedCLIPModel; LoRAWrapper"
                " takes other models"
            )
        _check_components(target_components, federated_clip_model.trainable_head)
        self.target_components = tuple(target_components)

    @override
    def _find_layers(self) -> list[str]:
        parts = self.target_components
        towers = [part for part in parts if part in TOWERS]
        single = ["classifier"] if "classifier" in parts else []
        if "projection" in parts:
            single += [PROJECTIONS[part] for part in towers or ["encoder"]]
        model = self.federated_model
        unfit = unfit_layers(model)
        inside = {part: list(adaptable_layers(model, unfit, TOWERS[part])) for part in towers}
        given = self.lora_config.target_modules
        targets = CLIP_TARGETS if given == "auto" else given
        for target in targets:
            component = OWN_COMPONENT.get(target)
            if component and component not in parts:
                own = [OWN_COMPONENT.get(each) for each in targets]
                every = own if all(own) else [*parts, component]
                raise FedloraError(
                    f"target_components: '{target}' is of '{component}'; write"
                    f" [{', '.join(dict.fromkeys(map(str, every)))}]"
                )
        if towers or targets != CLIP_TARGETS:  # which are the towers' alone
            everywhere = [*single, *(name for names in inside.values() for name in names)]
            check_targets(everywhere, targets, unfit)
        chosen = set(single)
        for part, names in inside.items():
            found = {n for n in names if any(matches(n, target) for target in targets)}
            if not found:
                raise FedloraError(
                    f"target_components: '{part}' has none of {', '.join(targets)}; leave it out"
                )
            chosen |= found
        return [name for name, _ in model.named_modules() if name in chosen]

    @override
    def merge_and_unload(self) -> FederatedCLIPModel:
        wrapped = self.federated_model
        assert isinstance(wrapped, FederatedCLIPModel)
        text_trains = wrapped.text_trains()  # its biases do so with bias="all", whatever is adapted
        model = super().merge_and_unload()
        assert isinstance(model, FederatedCLIPModel)
        if text_trains:
            model.refresh_head()
        return model

    @override
    def trained_beside(self) -> list[str]:
        model = self.federated_model
        assert isinstance(model, FederatedCLIPModel)
        if not model.trainable_head or "classifier" in self.target_components:
            return []
        return [f"classifier.{name}" for name, _ in model.classifier.named_parameters()]

    @override
    def made_of_names(self) -> list[str]:
        model = self.federated_model
        assert isinstance(model, FederatedCLIPModel)
        if model.class_names is None or model.trainable_head:
            return []
        return [n for n, _ in model.named_parameters() if n.startswith("classifier.")]


def quick_clip_lora(
    model_name: str | Path,
    num_classes: int,
    lora_r: int = 16,
    class_names: Sequence[str] | None = None,
) -> CLIPLoRAWrapper:
    """A CLIP with an adapter of rank `lora_r` and alpha 2 * `lora_r` in its vision tower.

    Arguments and errors are those of `FederatedCLIPModel` and `LoRAConfig`.
    """
    config = LoRAConfig.for_clip_model(r=lora_r)
    model = FederatedCLIPModel(model_name, num_classes, class_names)
    return CLIPLoRAWrapper(model, config, ["encoder"]).apply_lora_to_federated_model()


def _check_components(wanted: Sequence[str], trainable_head: bool) -> None:
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or not wanted:
        raise FedloraError("target_components: give a list, such as [encoder]")
    for component in wanted:
        if component not in COMPONENTS:
            hint = nearest(str(component), list(COMPONENTS))
            raise FedloraError(f"target_components: no component is called '{component}'; {hint}")
    if "text_encoder" in wanted and (trainable_head or "classifier" in wanted):
        raise FedloraError(
            "target_components: 'text_encoder' trains the zero-shot head; leave 'classifier' out,"
            " and give class_names without trainable_head"
        )
