"""Objects read off the tokens that a model, or an annotator, wrote."""

import math
from collections.abc import Sequence
from typing import Any

from fedlora.errors import FedloraError
from fedlora.finetune.objectives.average_precision import Detected
from fedlora.tasks.detection.locations import BINS, dequantise


class BoxTokens:
    """The location tokens of a tokenizer, and what a row of tokens says.

    Raises:
        FedloraError: the tokenizer has no <loc_0> to <loc_999>.
    """

    def __init__(self, tokenizer: Any) -> None:
        ids = tokenizer.convert_tokens_to_ids([f"<loc_{number}>" for number in range(BINS)])
        if None in ids or len(set(ids)) < BINS:
            raise FedloraError(
                "backbone.name: the tokenizer lacks the location tokens <loc_0> to <loc_999>"
            )
        self._bins = dict(zip(ids, range(BINS), strict=True))
        self._passed = {tokenizer.bos_token_id, tokenizer.pad_token_id}
        self._tokenizer = tokenizer

    def read(
        self, ids: Sequence[int], likelihoods: Sequence[float] | None = None
    ) -> list[Detected]:
        """The objects in a row of tokens up to </s>; one that is not whole is left out.

        Args:
            ids: of the tokens.
            likelihoods: log-probability of each token, which makes the scores; all sure if None.

        Returns:
            Labels, boxes in thousandths of width and height, and scores.
        """
        chances = [0.0] * len(ids) if likelihoods is None else likelihoods
        objects: list[Detected] = []
        label: list[tuple[int, float]] = []
        corners: list[tuple[int, float]] = []
        closed = False  # whether a further word begins another label
        for token, chance in zip(ids, chances, strict=True):
            if token == self._tokenizer.eos_token_id:
                break
            if token in self._passed:
                continue
            if token not in self._bins:
                label, corners, closed = ([] if closed else label), [], False
                label.append((token, chance))
                continue
            closed = True
            corners.append((self._bins[token], chance))
            if len(corners) == 4:
                objects += self._object(label, corners)
                corners = []
        return objects

    def _object(
        self, label: Sequence[tuple[int, float]], corners: Sequence[tuple[int, float]]
    ) -> list[Detected]:
        """One object; none where it has no name."""
        name = self._tokenizer.decode([token for token, _ in label]).strip()
        if not name:
            return []
        x1, y1, x2, y2 = (number for number, _ in corners)
        chances = [chance for _, chance in (*label, *corners)]
        score = math.exp(sum(chances) / len(chances))
        return [Detected(name, dequantise((x1, y1, x2, y2), BINS, BINS), score)]
