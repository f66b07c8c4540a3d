"""Which base model a plain PEFT folder says it is of."""

from pathlib import Path

from fedlora.adapter import peft_config
from fedlora.adapter.peft_folder import CONFIG, SIDECAR
from fedlora.backbone.load import BaseModel, load_base
from fedlora.config import BackboneConfig
from fedlora.config.model import EMBEDDED
from fedlora.errors import FedloraError


def check_named_base(folder: Path, own: BackboneConfig, base: BaseModel) -> None:
    """Refuse an adapter whose configuration names another base model.

    A folder of fedlora's has a digest of its base, which `peft_folder.load` compares; one that
    names no base has to be believed. Nothing is fetched for a name that came with an adapter.

    Args:
        folder: of the adapter.
        own: the base model that it is for.
        base: the same, loaded.

    Raises:
        FedloraError: it is of another one, or of one that is not on this machine.
    """
    if (folder / SIDECAR).exists():
        return
    named = peft_config.read(folder / CONFIG).get("base_model_name_or_path")
    if named in (None, "", own.name, base.reference):
        return
    told = f"'{folder / CONFIG}': base_model_name_or_path is {named!a:.200}"
    if not isinstance(named, str) or not (named in EMBEDDED or _is_folder(named)):
        raise FedloraError(
            f"{told}, which is not here to be compared with '{own.name}'; if they are the same,"
            f" write '{own.name}' there"
        )
    other = load_base(own.model_copy(update={"name": named}))
    if other.digest != base.digest:
        raise FedloraError(
            f"{told}, another model than '{own.name}': load the base model that the adapter was"
            " trained on"
        )


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # too long, or with a zero in it
        return False
