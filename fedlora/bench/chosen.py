"""Which parts of a bench are measured."""

from collections.abc import Iterable, Sequence

from fedlora.errors import FedloraError
from fedlora.registry import nearest


def chosen(only: Sequence[str], known: Iterable[str]) -> list[str]:
    """Those that `--only` names, in its order; all where it names none.

    Raises:
        FedloraError: there is no such part.
    """
    parts = list(known)
    for name in only:
        if name not in parts:
            raise FedloraError(f"--only {name}: no such part; {nearest(name, parts)}")
    return list(only) or parts
