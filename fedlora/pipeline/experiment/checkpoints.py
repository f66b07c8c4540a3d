"""A folder of checkpoints: which tasks, which adapters, and what they look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora.adapter import LoraAdapter
from fedlora.adapter.checkpoint_file import is_checkpoint, read_checkpoint
from fedlora.adapter.place import check_place
from fedlora.adapter.product import distance, norm
from fedlora.bank.plain_files import sample_number
from fedlora.errors import FedloraError
from fedlora.generators.tokens import Tokeniser, TokensConfig


def find_checkpoints(folder: Path, most: int | None = None) -> dict[str, list[Path]]:
    """Checkpoints by task: those in a folder of the task's name, or all of one task.

    Of more than `most`, the last by the numbers in their names.

    Raises:
        FedloraError: there is none.
    """
    if not folder.is_dir():
        raise FedloraError(f"checkpoint_dir: '{folder}' is no folder; check the path")
    own = sorted(filter(is_checkpoint, folder.iterdir()), key=_place)
    found = {folder.name: own} if own else {}
    for task in sorted(path for path in folder.iterdir() if path.is_dir() and path not in own):
        inside = sorted(filter(is_checkpoint, task.iterdir()), key=_place)
        if inside:
            found[task.name] = inside
    if not found:
        raise FedloraError(
            f"checkpoint_dir: '{folder}' holds no adapter; lay them out as TASK/CHECKPOINT, PEFT"
            " folders or .safetensors, .ckpt, .pt files"
        )
    return {task: paths[-most:] if most else paths for task, paths in found.items()}


def read_all(
    found: Mapping[str, Sequence[Path]], alpha: float | None = None
) -> dict[str, list[LoraAdapter]]:
    """Every checkpoint, all of one spec.

    Raises:
        FedloraError: one cannot be read, or differs in its base model, layers, rank or alpha.
    """
    out = read_each(found, alpha)
    first = next(iter(out.values()))[0]
    for task, own in out.items():
        for path, adapter in zip(found[task], own, strict=True):
            ranks = [[one.rank for one in a.spec.layers] for a in (first, adapter)]
            if len(ranks[0]) == len(ranks[1]) and ranks[0] != ranks[1]:
                raise FedloraError(
                    f"'{path}': another rank than the first checkpoint (ranks"
                    f" {sorted({*ranks[0], *ranks[1]})}); keep one folder a rank"
                )
            try:
                check_place(adapter.spec, first.spec)
            except FedloraError as error:
                raise FedloraError(f"'{path}': {error}") from None
    return out


def read_each(
    found: Mapping[str, Sequence[Path]], alpha: float | None = None
) -> dict[str, list[LoraAdapter]]:
    """Every checkpoint, whatever the others are like.

    Raises:
        FedloraError: one cannot be read.
    """
    return {task: [read_checkpoint(path, alpha) for path in paths] for task, paths in found.items()}


@dataclass(frozen=True)
class Analysis:
    """One task's checkpoints; sizes in values, norms and spread in DeltaW.

    ranks: of all layers and checkpoints; a generator learns from one.
    spread: mean distance from the first to the others, as a share of the norm; 0 of copies.
    tokens: that the widest needs.
    """

    task: str
    checkpoints: int
    layers: int
    ranks: str
    values: int
    norm: float
    spread: float
    tokens: int


def analyse(adapters: Mapping[str, Sequence[LoraAdapter]], tokens: TokensConfig) -> list[Analysis]:
    """What there is, and how many tokens it will need."""
    rows = []
    for task, own in adapters.items():
        ranks = sorted({layer.rank for adapter in own for layer in adapter.spec.layers})
        spec = max((adapter.spec for adapter in own), key=lambda one: one.size)
        sizes = [norm(adapter) for adapter in own]
        size = sum(sizes) / len(sizes)
        steps = [distance(own[0], adapter) for adapter in own[1:]]
        rows.append(
            Analysis(
                task=task,
                checkpoints=len(own),
                layers=len(spec.layers),
                ranks=", ".join(map(str, ranks)),
                values=spec.size,
                norm=size,
                spread=sum(steps) / len(steps) / size if steps and size > 0 else 0.0,
                tokens=Tokeniser(spec, tokens).tokens,
            )
        )
    return rows


def round_trip(adapter: LoraAdapter, tokens: TokensConfig) -> float:
    """Largest absolute difference after tokenising and back: 0, bit for bit.

    Raises:
        FedloraError: the adapter needs more than `max_tokens` tokens.
    """
    tokeniser = Tokeniser(adapter.spec, tokens)
    back = tokeniser.decode(tokeniser.encode(adapter))
    return float((back.flatten() - adapter.flatten()).abs().max())


def _place(path: Path) -> tuple[int, str]:
    return sample_number(path), path.name
