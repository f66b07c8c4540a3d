"""Text as language models train on it."""

from collections.abc import Sequence

import numpy as np

from fedlora.tasks.contract import Examples


def text_blocks(texts: Sequence[str], words: int) -> Examples:
    """Each text cut into blocks of at most `words` words; no block spans two texts."""
    blocks = [
        " ".join(split[start : start + words])
        for split in (text.split() for text in texts)
        for start in range(0, len(split), words)
    ]
    return Examples(inputs=blocks)


def blocks_of(examples: Examples, rows: np.ndarray, words: int, most: int) -> Examples:
    """At most `most` blocks of the texts in `rows`, labels and choices left out."""
    texts = examples.take(rows).texts
    blocks = text_blocks(texts, words)
    return blocks.take(np.arange(min(most, len(blocks))))
