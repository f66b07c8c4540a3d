"""Questions with answers to choose from, decided by likelihood."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.finetune.lower_blocks import BELOW
from fedlora.finetune.objectives.causal import CausalObjective
from fedlora.finetune.objectives.contract import Rows
from fedlora.finetune.objectives.tokens import (
    TOKENS,
    continuations,
    target_log_likelihood,
    target_log_likelihood_in_slices,
)
from fedlora.tasks.contract import Examples, Kind


class MultipleChoice(CausalObjective):
    """The answer with the highest summed log-likelihood given its question (acc).

    Rows hold all answers of a question: (n, choices, tokens). Training raises the likelihood of
    the right answer's tokens. acc_norm divides by the answer's length in characters, as
    lm-evaluation-harness does.
    """

    kind: ClassVar[Kind] = "multiple-choice"

    @override
    def encode(self, examples: Examples) -> Rows:
        if examples.choices is None or examples.labels is None:
            raise FedloraError("multiple choice needs choices and labels; the source lacks them")
        counts = torch.tensor([len(choices) for choices in examples.choices])
        prompts = [q for q, cs in zip(examples.texts, examples.choices, strict=True) for _ in cs]
        choices = [choice for choices in examples.choices for choice in choices]
        flat = continuations(self.slot, prompts, [f" {c}" for c in choices], self.max_length)
        # of the answer itself: the space that parts it from the question does not count
        flat["characters"] = torch.tensor([float(len(choice)) for choice in choices])
        rows = {
            name: pad_sequence(list(column.split(counts.tolist())), batch_first=True)
            for name, column in flat.items()
        }
        return rows | {"labels": torch.as_tensor(examples.labels, dtype=torch.int64)}

    @override
    def respond(self, rows: Rows) -> Tensor:
        right = torch.arange(len(rows["labels"]))
        answers = {name: rows[name][right, rows["labels"]] for name in TOKENS}
        return torch.stack(target_log_likelihood(self.slot, answers), 1)

    @override
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        n, choices, _ = rows["input_ids"].shape
        asked = {name: rows[name].flatten(0, 1) for name in (*TOKENS, BELOW) if name in rows}
        scored = target_log_likelihood_in_slices(self.slot, asked)
        likelihood, tokens = (x.reshape(n, choices) for x in scored)
        absent = tokens == 0  # a question with fewer answers than the widest
        labels = rows["labels"].to(likelihood.device)
        characters = rows["characters"].to(likelihood.device).clamp(min=1)
        right = torch.arange(n, device=labels.device)
        normalised = (likelihood / characters).masked_fill(absent, -torch.inf)
        best = likelihood.masked_fill(absent, -torch.inf).argmax(1)
        return {
            "loss": -likelihood[right, labels] / tokens[right, labels],
            "accuracy": (best == labels).float(),
            "accuracy_norm": (normalised.argmax(1) == labels).float(),
        }

    @override
    def spread(self, rows: Rows) -> Rows:
        """Every answer as a question of its own, whose only answer is right."""
        asked = {name: rows[name].flatten(0, 1).unsqueeze(1) for name in TOKENS}
        return asked | {"labels": torch.zeros(len(asked["target"]), dtype=torch.int64)}

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        questions = {
            "input_ids": rows["input_ids"][:, 0],
            "attention_mask": rows["attention_mask"][:, 0] - rows["target"][:, 0],
        }
        return super().hidden(questions)
