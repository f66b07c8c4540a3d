"""The `fedlora` command, which says one line where Ctrl-C comes before it can do anything."""

import sys

from fedlora.errors import INTERRUPTED


def main() -> None:
    """Entry point of the `fedlora` command."""
    try:
        from fedlora.cli import main as command  # takes a while
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
