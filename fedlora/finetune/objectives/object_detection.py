"""Objects in images, learned as text and judged by mean average precision."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.average_precision import Detected, average_precision
from fedlora.finetune.objectives.contract import Metric, Objective, Rows, batches, wide
from fedlora.finetune.objectives.pictures import PIXELS, encode_images, images
from fedlora.finetune.objectives.tokens import negative_mean
from fedlora.finetune.objectives.written_boxes import BoxTokens
from fedlora.tasks.contract import Examples, Kind

PROMPT = "Locate the objects with category name in the image."
"""What Florence-2 is asked by its task <OD>."""

DETECTING_BATCH = 32


class ObjectDetection(Objective):
    """The likelihood of a suffix such as "dog<loc_120><loc_85><loc_340><loc_250>", given the image.

    What is found is written greedily. A box's score is exp of the mean log-probability of its
    tokens, label and corners, since such a detector has no other.

    Args:
        slot: a Florence-2 in it.
        label_names: of the objects.
        max_length: the most tokens of a suffix; written ones stop there as well.
    """

    kind: ClassVar[Kind] = "object-detection"
    metric: ClassVar[Metric] = "map"

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...], max_length: int) -> None:
        super().__init__(slot, label_names)
        if slot.base.florence is None:
            raise FedloraError(
                f"backbone.name: object detection needs a Florence-2, and '{slot.base.reference}'"
                f" is a {slot.base.modality} model; name florence2 or a folder"
            )
        self.max_length = max_length
        self.images = slot.base.florence.images
        self.prompt = slot.base.florence.prompt(slot.base.tokenizer, PROMPT)
        self.boxes = BoxTokens(slot.base.tokenizer)
        text = slot.base.florence.text
        self.first, self.pad = int(text.decoder_start_token_id), int(text.pad_token_id)

    @override
    def encode(self, examples: Examples) -> Rows:
        if examples.suffixes is None:
            raise FedloraError("object detection needs boxes; the source gives none")
        ids = self.slot.base.tokenizer(list(examples.suffixes))["input_ids"]  # type: ignore[misc]
        longest = max(len(row) for row in ids)
        if longest > self.max_length:
            raise FedloraError(
                f"an image's objects take {longest} tokens, more than"
                f" backbone.max_length={self.max_length}: raise it"
            )
        written = torch.tensor([row + [self.pad] * (longest - len(row)) for row in ids])
        mask = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in ids])
        return {
            PIXELS: encode_images(examples.inputs),
            "written": written,
            "written_mask": mask,
        }

    @override
    def respond(self, rows: Rows) -> Tensor:
        written = rows["written"].to(self.slot.device)
        logits = wide(self._pass(rows).logits)
        nll = functional.cross_entropy(
            logits.flatten(0, 1), written.flatten(), reduction="none"
        ).view_as(written)
        mask = rows["written_mask"].to(self.slot.device)
        return torch.stack([-(nll * mask).sum(1), mask.sum(1)], 1)

    @override
    def loss_of(self, responses: Tensor, rows: Rows, head: Mapping[str, Tensor]) -> Tensor:
        return negative_mean(responses)

    @override
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        """The loss alone: average precision is of all rows together."""
        likelihood, tokens = self.respond(rows).unbind(1)
        return {"loss": -likelihood / tokens}

    @override
    def score(self, rows: Rows) -> dict[str, float]:
        found, there = [], []
        with torch.inference_mode():
            for batch in batches(rows, DETECTING_BATCH):
                found += self.detect(batch)
                there += [self.boxes.read(ids) for ids in batch["written"].tolist()]
        return super().score(rows) | average_precision(found, there)

    @override
    def spread(self, rows: Rows) -> None:
        return None

    def detect(self, rows: Rows) -> list[list[Detected]]:
        """What the model, as it now is, writes for each image; corners in thousandths."""
        model: Any = self.slot.base.model
        output = model.generate(
            input_ids=self._prompts(rows),
            pixel_values=self._pixels(rows),
            max_new_tokens=self.max_length,
            num_beams=1,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        chosen = output.sequences[:, 1:]
        steps = [
            functional.log_softmax(wide(scores), -1).gather(1, chosen[:, [at]])
            for at, scores in enumerate(output.scores)
        ]
        likelihoods = torch.cat(steps, 1).tolist()
        return [self.boxes.read(*pair) for pair in zip(chosen.tolist(), likelihoods, strict=True)]

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's last layer at the last token of the suffix, as ICM-LoRA takes it."""
        output = self._pass(rows, output_hidden_states=True)
        last = rows["written_mask"].sum(1).long() - 1
        states = output.decoder_hidden_states[-1]
        pooled = states[torch.arange(len(last), device=states.device), last.to(states.device)]
        early = wide(output.encoder_hidden_states[1])
        return wide(pooled), early, torch.ones(early.shape[:2])

    def _pass(self, rows: Rows, **options: bool) -> Any:
        """The model's output when it is made to write what is there."""
        written = rows["written"].to(self.slot.device)
        before = functional.pad(written[:, :-1], (1, 0), value=self.first)
        return self.slot.model(
            input_ids=self._prompts(rows),
            pixel_values=self._pixels(rows),
            decoder_input_ids=before,
            **options,
        )

    def _prompts(self, rows: Rows) -> Tensor:
        return self.prompt.to(self.slot.device).expand(len(rows[PIXELS]), -1)

    def _pixels(self, rows: Rows) -> Tensor:
        return self.images.prepare(images(rows, self.slot.device)).to(self.slot.dtype)
