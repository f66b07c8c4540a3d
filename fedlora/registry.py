"""Named parts: a part is found because its file is there.

A room is a folder of `fedlora` (`generators`, `tasks`, ...) and a part is a module in it that
defines one class with a `Config`; the module's name is the part's name. Packages outside fedlora
add parts through the entry-point group `fedlora.<room>`.
"""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from importlib.metadata import entry_points
from typing import Any

from fedlora.errors import FedloraError


def names(room: str) -> list[str]:
    """Sorted names of every part in a room, those of installed plug-ins included."""
    package = importlib.import_module(f"fedlora.{room}")
    own = [
        module.name
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg and _part(f"fedlora.{room}.{module.name}") is not None
    ]
    return sorted({*own, *(point.name for point in entry_points(group=f"fedlora.{room}"))})


def find(room: str, name: str) -> Any:
    """The class called `name` in a room.

    Raises:
        FedloraError: there is no such part; the message gives the nearest name.
    """
    if name.isidentifier() and importlib.util.find_spec(f"fedlora.{room}.{name}"):
        part = _part(f"fedlora.{room}.{name}")
        if part is not None:
            return part
    for point in entry_points(group=f"fedlora.{room}", name=name):
        return point.load()
    known = names(room)
    raise FedloraError(f"unknown name '{name}' in {room}: {nearest(name, known)}")


def nearest(name: str, known: list[str]) -> str:
    """A hint such as "did you mean 'cvae'?", or the list of what there is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(known)}"


def _part(path: str) -> type | None:
    """The one class of a module that is its own and carries a `Config`, or None."""
    module = importlib.import_module(path)
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and value.__module__ == path
        and hasattr(value, "Config")
        and not inspect.isabstract(value)
    ]
    if len(own) > 1:
        raise TypeError(f"{path} defines several parts: {[part.__name__ for part in own]}")
    return own[0] if own else None
