"""A configuration read from a file with overrides, and written again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedlora.config.run import RunConfig
from fedlora.errors import FedloraError
from fedlora.section import parse


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file, merge `section.key=value` overrides over it, and validate the whole.

    Raises:
        FedloraError: one line that names the file, the key and the remedy.
    """
    return from_dict(_merged(path, overrides), origin=str(path))


def from_dict(raw: Any, origin: str) -> RunConfig:
    """Validate a configuration that was already read; `origin` is named in the error.

    Raises:
        FedloraError: as for `load`.
    """
    try:
        return parse(RunConfig, raw)
    except FedloraError as error:
        raise FedloraError(f"{origin}: {error}") from None


def dump(config: RunConfig) -> str:
    """The resolved configuration as YAML; `load` of it gives an equal one."""
    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def _merged(path: Path, overrides: Sequence[str]) -> Any:
    for override in overrides:
        if "=" not in override:
            raise FedloraError(f"override '{override}': write it as section.key=value")
    try:
        base = OmegaConf.load(path)
        return OmegaConf.to_container(
            OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides))), resolve=True
        )
    except FileNotFoundError:
        raise FedloraError(f"{path}: no such file; see configs/ for examples") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FedloraError(f"{path}: cannot be read: {error}") from None
    except (YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        first_line = " ".join(str(error).split())[:200]
        raise FedloraError(f"{path}: not a YAML mapping of sections: {first_line}") from None
