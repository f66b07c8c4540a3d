"""A user's mistake is one line and exit status 2, an interruption one and 130; no traceback."""

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from fedlora import atomic
from fedlora.errors import FedloraError

INTERRUPTED = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what went wrong on one line of standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        yield
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
