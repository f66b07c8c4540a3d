"""The one exception that a user is meant to read."""

INTERRUPTED = 130
"""Exit status of what Ctrl-C has ended."""


class FedloraError(Exception):
    """A mistake that the user can mend.

    Its text is one line that names the file, the key and the remedy. The command line prints
    it without a traceback and exits with status 2.
    """
