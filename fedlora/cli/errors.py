"""A user's mistake is one line and exit status 2, an interruption one and 130; no traceback."""

import errno
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fedlora import atomic
from fedlora.errors import INTERRUPTED, FedloraError

PACKAGE = Path(__file__).parents[1]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what went wrong on one line of standard error, and once what fedlora warns of."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with _one_line_warnings():
            yield
    except KeyboardInterrupt:
        console.print("interrupted", style="yellow")
        sys.exit(INTERRUPTED)
    except FedloraError as error:
        console.print(f"error: {' '.join(str(error).split())}", style="red", markup=False)
        sys.exit(2)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            text = f"error: a name of {len(str(error.filename))} characters is too long for a file"
            console.print(text, style="red", markup=False)
            sys.exit(2)
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        where = f" '{error.filename}'" if error.filename else ""
        text = f"error: cannot write{where}: {atomic.remedy(error)}"
        console.print(text, style="red", markup=False)
        sys.exit(2)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    usual, told = warnings.formatwarning, set[str]()

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        line: str | None = None,
    ) -> str:  # fmt: skip
        if not Path(filename).is_relative_to(PACKAGE):
            return usual(message, category, filename, lineno, line)
        text = f"warning: {message}\n"
        again = text in told
        told.add(text)
        return "" if again else text

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = usual


@contextmanager
def term_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what it started is ended as well."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Where Ctrl-C or a full disk stops a run, say on one line of standard error how it goes on."""
    try:
        yield
    except FedloraError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise FedloraError(f"{error}; go on with: {command}") from error
    except KeyboardInterrupt:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"interrupted; what is done is kept, go on with: {command}",
            style="yellow",
            markup=False,
        )
        sys.exit(INTERRUPTED)
