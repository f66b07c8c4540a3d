"""DomainNet (Peng et al. 2019, arXiv 1812.01754) from its folders and lists."""

from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from fedlora.errors import FedloraError
from fedlora.section import Section
from fedlora.tasks.contract import Examples, Source, Table
from fedlora.tasks.image_files import ImageFiles

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")


class Config(Section):
    """path: the folder with DOMAIN/CLASS/*.jpg and the lists DOMAIN_train.txt, DOMAIN_test.txt.

    domains: which of the six.
    size: of the images, in pixels.
    per_class: the most images of each class, domain and split; all when absent.
    """

    path: Path
    domains: tuple[str, ...] = Field(DOMAINS, min_length=1)
    size: PositiveInt = 64
    per_class: PositiveInt | None = None


class DomainNet(Source):
    """Images of 345 classes in six styles, from your own copy; the groups have the domain."""

    Config = Config

    def load(self) -> Table:
        """Every listed file, split by the official lists."""
        folder = self.config.path.expanduser()
        rows: list[tuple[str, str, bool, Path]] = []
        for domain in self.config.domains:
            for part in ("train", "test"):
                rows += self._listed(folder, domain, test=part == "test")
        names = tuple(sorted({name for _, name, _, _ in rows}))
        index = {name: number for number, name in enumerate(names)}
        images = ImageFiles(tuple(file for *_, file in rows), self.config.size, 3)
        images.check()
        labels = np.array([index[name] for _, name, _, _ in rows], dtype=np.int64)
        return Table(
            kind="image-classification",
            examples=Examples(images, labels),
            label_names=names,
            groups={"domain": np.array([domain for domain, *_ in rows])},
            test=np.array([test for *_, test, _ in rows]),
        )

    def _listed(
        self, folder: Path, domain: str, *, test: bool
    ) -> list[tuple[str, str, bool, Path]]:
        """(domain, class, is test, file) of one list; lines are PATH LABEL."""
        path = folder / f"{domain}_{'test' if test else 'train'}.txt"
        if not path.is_file():
            raise FedloraError(f"{path}: missing; fetch DomainNet's lists, or check source.path")
        kept: dict[str, int] = {}
        rows = []
        for line in path.read_text("utf-8", "replace").splitlines():
            relative = Path(line.rpartition(" ")[0])
            if len(relative.parts) != 3 or ".." in relative.parts or relative.is_absolute():
                raise FedloraError(f"{path}: {line!a:.80} is not DOMAIN/CLASS/FILE LABEL")
            name = relative.parts[1]
            kept[name] = kept.get(name, 0) + 1
            if self.config.per_class is None or kept[name] <= self.config.per_class:
                rows.append((domain, name, test, folder / relative))
        if not rows:
            raise FedloraError(f"{path}: lists no image; fetch it again")
        return rows
