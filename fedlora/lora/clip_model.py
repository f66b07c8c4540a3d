"""An image classifier on a CLIP with the four methods of a federated model."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedlora.backbone.clip import (
    TEMPLATES,
    ClipTowers,
    check_templates,
    fill,
    load_clip,
    name_rows,
)
from fedlora.backbone.weights import loading, locate
from fedlora.errors import FedloraError
from fedlora.lora.examples import class_numbers, prepared_images
from fedlora.lora.received import check_count, fitting

EVALUATION_BATCH = 256


class FederatedCLIPModel(nn.Module):
    """CLIP's vision tower and a head of `num_classes` rows.

    With class names the head is zero-shot: the names, in prompts, through the text tower. It is
    frozen, or the start of training with `trainable_head`. Without names a head starts at zero
    and is trained. The vision tower and its projection train; the text tower is frozen, and where
    an adapter trains in it the head is computed anew in every pass.

    Args:
        model_name: "tiny_clip", a folder that `save_pretrained` wrote, a hub id, or loaded towers.
        num_classes: rows of the head.
        class_names: one for each class.
        templates: prompts, with {} where the name belongs; their embeddings are averaged.
        trainable_head: whether the head trains; None for "only without class names".
        learning_rate: of AdamW in `train_step`; may be changed between steps.

    Raises:
        FedloraError: the model cannot be loaded or is no CLIP, num_classes and class_names
            disagree, or names are given and there is no tokenizer.
    """

    def __init__(
        self,
        model_name: str | Path | ClipTowers,
        num_classes: int,
        class_names: Sequence[str] | None = None,
        templates: Sequence[str] = TEMPLATES,
        trainable_head: bool | None = None,
        learning_rate: float = 5e-4,
    ) -> None:
        super().__init__()
        _check_classes(num_classes, class_names, trainable_head)
        if not isinstance(learning_rate, int | float) or not learning_rate > 0:
            raise FedloraError(f"learning_rate={learning_rate!r}: give a number above 0")
        check_templates(templates)
        towers = model_name if isinstance(model_name, ClipTowers) else open_towers(model_name)
        self.clip = towers.model
        self.images = towers.images
        self.reference = towers.reference
        self.num_classes = int(num_classes)
        self.class_names = None if class_names is None else tuple(class_names)
        self.trainable_head = class_names is None if trainable_head is None else trainable_head
        self.learning_rate = learning_rate
        self.clip.requires_grad_(True)
        for frozen in (self.clip.text_model, self.clip.text_projection, self.clip.logit_scale):
            frozen.requires_grad_(False)
        self.classifier = nn.Linear(self.clip.config.projection_dim, self.num_classes)
        self.classifier.to(self.clip.dtype).requires_grad_(self.trainable_head)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self._prompts: tuple[str, ...] = ()
        if class_names is not None:
            tokens = towers.tokens(fill(templates, class_names))
            for name, column in tokens.items():
                self.register_buffer(f"prompt_{name}", column, persistent=False)
            self._prompts = tuple(tokens)
            self.refresh_head()
        self._optimizer: tuple[list[tuple[int, Any, Any]], torch.optim.Optimizer] | None = None

    def prepare(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1], grey or in colour -> what the vision tower takes."""
        return self.images.prepare(images)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits (n, classes) of prepared images (n, channels, size, size)."""
        pooled = self.clip.vision_model(pixel_values=pixel_values).pooler_output
        features = functional.normalize(self.clip.visual_projection(pooled), dim=-1)
        if self.text_trains():
            return functional.linear(features, self._name_rows())
        logits: Tensor = self.classifier(self.clip.logit_scale.detach().exp() * features)
        return logits

    def train_step(self, data: Any, labels: Any) -> float:
        """One step of AdamW on a batch; the loss before it.

        Args:
            data: prepared images (n, channels, size, size).
            labels: (n,) integers below num_classes.

        Raises:
            FedloraError: the images are not prepared, data and labels disagree in number, or a
                label is no integer or has no class.
        """
        pixels, truth = self._batch(data, labels)
        if not self.training:
            self.train()  # which walks every module
        optimizer = self._current_optimizer()
        loss = functional.cross_entropy(self(pixels), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def evaluate(self, data: Any, labels: Any) -> dict[str, float]:
        """Mean "loss" and "accuracy" on prepared images; arguments and errors as `train_step`."""
        pixels, truth = self._batch(data, labels)
        was_training = self.training
        self.eval()
        logits = torch.cat([self(part) for part in pixels.split(EVALUATION_BATCH)]).float()
        self.train(was_training)
        return {
            "loss": float(functional.cross_entropy(logits, truth)),
            "accuracy": float((logits.argmax(-1) == truth).float().mean()),
        }

    def get_parameters(self) -> list[np.ndarray]:
        """The whole model, both towers and the head, as copies."""
        return [t.detach().cpu().float().numpy().copy() for t in self.state_dict().values()]

    def set_parameters(self, parameters: Sequence[Any]) -> None:
        """Take what another's `get_parameters` gave; a new round begins with a new optimiser.

        Raises:
            FedloraError: another number or shape, or not finite numbers; nothing is then changed.
        """
        own = self.state_dict()
        check_count(parameters, len(own))
        pairs = zip(own.items(), parameters, strict=True)
        received = [fitting(name, value, tensor) for (name, tensor), value in pairs]
        with torch.no_grad():
            for tensor, value in zip(own.values(), received, strict=True):
                tensor.copy_(value)
        self.parameters_changed()

    def parameters_changed(self) -> None:
        """Tensors were written from outside: what the optimiser remembers is of other values."""
        self._optimizer = None

    def refresh_head(self) -> None:
        """Put the class names through the text tower as it now is."""
        with torch.no_grad():
            self.classifier.weight.copy_(self._name_rows() / self.clip.logit_scale.exp())

    def _name_rows(self) -> Tensor:
        tokens = {name: getattr(self, f"prompt_{name}") for name in self._prompts}
        return name_rows(self.clip, tokens, self.num_classes)

    def text_trains(self) -> bool:
        """Whether the head, made of class names, changes with the text tower now."""
        if not self._prompts or self.trainable_head:
            return False
        parts = (self.clip.text_model, self.clip.text_projection)
        return any(p.requires_grad for part in parts for p in part.parameters())

    def _current_optimizer(self) -> torch.optim.Optimizer:
        """AdamW over what requires gradients now, made anew when that, or where it is, changed."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        now = [(id(parameter), parameter.dtype, parameter.device) for parameter in trained]
        if self._optimizer is None or self._optimizer[0] != now:
            made = torch.optim.AdamW(trained, self.learning_rate, weight_decay=0.0, fused=True)
            self._optimizer = (now, made)
        for group in self._optimizer[1].param_groups:
            group["lr"] = self.learning_rate  # which may have changed since
        return self._optimizer[1]

    def _batch(self, data: Any, labels: Any) -> tuple[Tensor, Tensor]:
        pixels = prepared_images(data, self.images).to(self.clip.device, self.clip.dtype)
        truth = class_numbers(labels, len(pixels), self.num_classes).to(self.clip.device)
        return pixels, truth


def open_towers(model_name: str | Path) -> ClipTowers:
    """Load a CLIP by name.

    Raises:
        FedloraError: it is no name, cannot be found or read, or is no CLIP.
    """
    if not isinstance(model_name, str | Path):
        raise FedloraError(
            f"model_name: give the name of a CLIP or its folder, not {type(model_name).__name__}"
        )
    model_name = str(model_name)
    where = locate(model_name, key="model_name")
    with loading("model_name", model_name, "tiny_clip"):
        return load_clip(where)


def _check_classes(
    num_classes: object, names: Sequence[str] | None, trainable_head: bool | None
) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, Integral) or num_classes < 2:
        raise FedloraError(f"num_classes={num_classes!r}: give a whole number of at least two")
    if names is not None and (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(names)
    ):
        raise FedloraError("class_names: give a list of names, each once and none empty")
    if names is not None and len(names) != num_classes:
        raise FedloraError(
            f"num_classes={num_classes}, but class_names has {len(names)}: give one a class"
        )
    if not isinstance(trainable_head, bool | None):
        raise FedloraError(f"trainable_head={trainable_head!r}: write True, False or None")
    if names is None and trainable_head is False:
        raise FedloraError("class_names: a zero-shot head needs them; or set trainable_head=True")
