"""A folder of checkpoints: which tasks, which adapters, and what they look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedlora.adapter import AdapterSpec, LoraAdapter, peft_config, peft_folder
from fedlora.adapter.checkpoint_file import UNKNOWN, is_checkpoint, read_checkpoint, weights_file
from fedlora.adapter.place import check_place
from fedlora.adapter.product import distance, norm
from fedlora.bank.plain_files import sample_number
from fedlora.errors import FedloraError
from fedlora.generators.tokens import Tokeniser, TokensConfig
from fedlora.section import Section


class KnownBase(Section):
    """What PEFT folders say of the model that they adapt; None where none does, or several do.

    name: what from_pretrained takes.
    task_type: PEFT's name of what the model does.
    """

    name: str | None = None
    task_type: str | None = None


def find_checkpoints(folder: Path, most: int | None = None) -> dict[str, list[Path]]:
    """Checkpoints by task: those in a folder of the task's name, or all of one task.

    Of more than `most`, the last by the numbers in their names.

    Raises:
        FedloraError: there is none, or a task's lie further in.
    """
    if not folder.is_dir():
        raise FedloraError(f"checkpoint_dir: '{folder}' is no folder; check the path")
    own = sorted(filter(is_checkpoint, folder.iterdir()), key=_place)
    found = {folder.resolve().name: own} if own else {}
    for task in sorted(path for path in folder.iterdir() if path.is_dir() and path not in own):
        inside = sorted(filter(is_checkpoint, task.iterdir()), key=_place)
        if inside:
            found[task.name] = inside
        elif deep := next(filter(is_checkpoint, task.rglob("*")), None):
            raise FedloraError(
                f"checkpoint_dir: '{deep}' is not TASK/CHECKPOINT in '{folder}'; move it to"
                f" '{task / deep.name}', or out of '{folder}'"
            )
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
        FedloraError: as for `read_each` and `check_alike`.
    """
    adapters = read_each(found, alpha)
    check_alike(found, adapters)
    return adapters


def read_each(
    found: Mapping[str, Sequence[Path]], alpha: float | None = None
) -> dict[str, list[LoraAdapter]]:
    """Every checkpoint, of whatever rank and alpha.

    One that does not say its base model is of the one that the others name.

    Raises:
        FedloraError: one cannot be read, or differs in its base model, layers or head.
    """
    read = {path: read_checkpoint(path, alpha) for paths in found.values() for path in paths}
    base = _one_base(read)
    first = next(iter(read.values())).spec
    for path, adapter in read.items():
        spec = replace(adapter.spec, base=base)
        try:
            check_place(spec, replace(first, base=base, alpha=spec.alpha, rslora=spec.rslora))
        except FedloraError as error:
            raise FedloraError(f"'{path}': {error}") from None
        read[path] = replace(adapter, spec=spec)
    return {task: [read[path] for path in paths] for task, paths in found.items()}


def known_base(found: Mapping[str, Sequence[Path]]) -> KnownBase:
    """What the PEFT folders among the checkpoints agree on."""
    folders = [path for paths in found.values() for path in paths if path.is_dir()]
    said = [peft_config.read(path / peft_folder.CONFIG) for path in folders]
    names = {str(config.get("base_model_name_or_path") or UNKNOWN) for config in said} - {UNKNOWN}
    types = {str(config.get("task_type")) for config in said} & peft_config.TASK_TYPES
    return KnownBase(
        name=names.pop() if len(names) == 1 else None,
        task_type=types.pop() if len(types) == 1 else None,
    )


def check_alike(
    found: Mapping[str, Sequence[Path]], adapters: Mapping[str, Sequence[LoraAdapter]]
) -> None:
    """Refuse several ranks or alphas, of which no generator learns at once.

    Raises:
        FedloraError: the line names the first checkpoint that differs from the first of all.
    """
    first = next(iter(adapters.values()))[0].spec
    for task, own in adapters.items():
        for path, spec in zip(found[task], (adapter.spec for adapter in own), strict=True):
            if [layer.rank for layer in spec.layers] != [layer.rank for layer in first.layers]:
                ranks = sorted({layer.rank for one in (first, spec) for layer in one.layers})
                raise FedloraError(
                    f"'{path}': another rank than the first checkpoint (ranks {ranks}); keep one"
                    " folder a rank"
                )
            if (spec.alpha, spec.rslora) != (first.alpha, first.rslora):
                raise FedloraError(
                    f"'{path}': alpha {_alpha(spec)}, and {_alpha(first)} of the first checkpoint;"
                    " keep one folder an alpha, and set alpha where files do not say theirs"
                )


@dataclass(frozen=True)
class Analysis:
    """One task's checkpoints; norm and spread in DeltaW.

    bytes: of all files of weights together, whatever else they hold.
    tensors: of LoRA in a checkpoint, two a layer.
    values: of the largest.
    ranks, alphas: of all layers and checkpoints; a generator learns from one.
    norm: the mean over the checkpoints.
    spread: mean distance from the first to the others, as a share of the norm; 0 of copies.
    tokens, entries: that the largest needs, and the numbers in each.
    """

    task: str
    checkpoints: int
    bytes: int
    layers: int
    tensors: int
    values: int
    ranks: str
    alphas: str
    norm: float
    spread: float
    tokens: int
    entries: int


def analyse(
    found: Mapping[str, Sequence[Path]],
    adapters: Mapping[str, Sequence[LoraAdapter]],
    tokens: TokensConfig,
) -> list[Analysis]:
    """What there is, and how many tokens it will need."""
    rows = []
    for task, own in adapters.items():
        specs = [adapter.spec for adapter in own]
        spec = max(specs, key=lambda one: one.size)
        sizes = [norm(adapter) for adapter in own]
        size = sum(sizes) / len(sizes)
        steps = [distance(own[0], adapter) for adapter in own[1:]]
        tokeniser = Tokeniser(spec, tokens)
        rows.append(
            Analysis(
                task=task,
                checkpoints=len(own),
                bytes=sum(weights_file(path).stat().st_size for path in found[task]),
                layers=len(spec.layers),
                tensors=2 * len(spec.layers),
                values=spec.size,
                ranks=", ".join(map(str, sorted({x.rank for one in specs for x in one.layers}))),
                alphas=", ".join(dict.fromkeys(map(_alpha, specs))),
                norm=size,
                spread=sum(steps) / len(steps) / size if steps and size > 0 else 0.0,
                tokens=tokeniser.tokens,
                entries=tokeniser.entries,
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


def _one_base(read: Mapping[Path, LoraAdapter]) -> str:
    """The base model that all are of which say theirs."""
    known: dict[str, Path] = {}
    for path, adapter in read.items():
        if adapter.spec.base != UNKNOWN:
            known.setdefault(adapter.spec.base, path)
    if len(known) > 1:
        (base, first), (other, path) = list(known.items())[:2]
        raise FedloraError(
            f"'{path}': of base model {other!a:.80}, and '{first}' of {base!a:.80}; keep one folder"
            " a base model, or, if it is the same, write the same base_model_name_or_path in each"
            " adapter_config.json, and delete fedlora.json"
        )
    return next(iter(known), UNKNOWN)


def _alpha(spec: AdapterSpec) -> str:
    return f"{spec.alpha:g}{' of rsLoRA' * spec.rslora}"
