"""A configuration read from a file with overrides, and written again."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel
from yaml import YAMLError

from fedlora.config.clip_lora import with_own_keys
from fedlora.config.run import RunConfig
from fedlora.errors import FedloraError
from fedlora.section import Part, only, parse

_NOT_YAML = (
    YAMLError, OmegaConfBaseException, ValueError, TypeError, AttributeError, LookupError,
    OverflowError, RecursionError,
)  # fmt: skip
"""What reading leads to: the constructors of YAML's own types raise whatever comes."""


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file, merge `section.key=value` overrides over it, and validate the whole.

    Raises:
        FedloraError: one line that names the file, the key and the remedy.
    """
    return from_dict(merged(path, overrides), origin=str(path))


def from_dict(raw: Any, origin: str) -> RunConfig:
    """Validate a configuration that was already read; `origin` is named in the error.

    Raises:
        FedloraError: as for `load`.
    """
    try:
        return parse(RunConfig, raw)
    except FedloraError as error:
        raise FedloraError(f"{origin}: {error}") from None


@contextmanager
def naming(origin: Path) -> Iterator[None]:
    """Name the file in a complaint about one of its keys that comes after it was read."""
    try:
        yield
    except FedloraError as error:
        if re.split(r"\W", str(error), maxsplit=1)[0] not in RunConfig.model_fields:
            raise
        told = with_own_keys(str(error)) if "model" in merged(origin, ()) else str(error)
        raise FedloraError(f"{origin}: {told}") from error


def dump(config: RunConfig) -> str:
    """The resolved configuration as YAML; `load` of it gives an equal one."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def rooted(config: RunConfig) -> RunConfig:
    """The same configuration with paths that do not depend on the folder that it is read from."""
    raw = _absolute(config, config.model_dump(mode="json"))
    folder = Path(config.backbone.name).expanduser()
    if "/" in config.backbone.name and folder.is_dir():
        raw["backbone"]["name"] = str(folder.absolute())
    return from_dict(raw, "the configuration")


def _absolute(value: Any, given: Any) -> Any:
    """What was given of a value, every path in it from the root of the file system."""
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    if isinstance(value, list | tuple):
        return [_absolute(*pair) for pair in zip(value, given, strict=True)]
    if isinstance(value, Part):
        value = {"name": value.name, **vars(value.options())}
    elif isinstance(value, BaseModel):
        value = vars(value)
    if not isinstance(value, dict):
        return given
    return {key: _absolute(value[key], each) for key, each in given.items()}


def stamped(root: Path, name: str) -> Path:
    """The name of a new folder: root/NAME_YYYYMMDD_HHMMSS."""
    return root / f"{name}_{datetime.now().astimezone():%Y%m%d_%H%M%S}"


def merged(path: Path, overrides: Sequence[str]) -> Any:
    """A YAML file as plain values, with `section.key=value` over it, not validated.

    Raises:
        FedloraError: the file cannot be read, or an override is none.
    """
    for override in overrides:
        if "=" not in override:
            raise FedloraError(f"override '{override}': write it as section.key=value")
    try:
        changes = OmegaConf.from_dotlist(list(overrides))
        base = _kept(OmegaConf.to_container(OmegaConf.load(path)), OmegaConf.to_container(changes))
        return OmegaConf.to_container(OmegaConf.merge(base, changes), resolve=True)
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file; see configs/ for examples") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FedloraError(f"{path}: cannot be read: {error}") from None
    except _NOT_YAML as error:
        first_line = " ".join(str(error).split())[:200]
        raise FedloraError(f"{path}: not a YAML mapping of sections: {first_line}") from None


def _kept(base: Any, changes: Any, path: tuple[str, ...] = ()) -> Any:
    """What the file says, without the options of parts that `changes` name anew.

    They belong to the part that the file named: another part has options of its own.
    """
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return base
    if "name" in changes and changes["name"] != base.get("name") and _is_part(path):
        return {}
    return {key: _kept(value, changes.get(key), (*path, str(key))) for key, value in base.items()}


def _is_part(path: tuple[str, ...]) -> bool:
    """Whether a path of keys leads to a part, or to something below one."""
    model: Any = RunConfig
    for step in path:
        field = model.model_fields.get(step)
        model = only(field.annotation) if field else None
        if not isinstance(model, type) or not issubclass(model, BaseModel):
            return False
        if issubclass(model, Part):
            return True
    return False
