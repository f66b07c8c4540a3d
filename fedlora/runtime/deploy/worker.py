"""The warm worker: base model, data and code stay loaded from one message to the next.

    python -m fedlora.runtime.deploy.worker FOLDER

Flower starts a process for every message, and each would import torch and load the model again.
`fedlora deploy client` starts this one beside the SuperNode, starts it again when it ends, and
stops it; FOLDER is where its socket and the secret of this start lie.
"""

import os
import secrets
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from fedlora.runtime.answering import answer_here, warm_up
from fedlora.runtime.deploy import private
from fedlora.runtime.deploy.handover import SECRET, SOCKET, receive_pack, send_replies


def main() -> None:
    """Answer packs until killed."""
    folder = Path(sys.argv[1])
    secret = secrets.token_bytes(32)
    os.umask(0o077)
    (folder / SOCKET).unlink(missing_ok=True)
    private.write(folder / SECRET, secret)
    with Listener(str(folder / SOCKET), "AF_UNIX", backlog=8, authkey=secret) as listener:
        # Open already: who asks meanwhile waits, rather than load the same a second time.
        warm_up()
        while True:
            try:
                with listener.accept() as connection:
                    serve(connection)
            except (OSError, EOFError, AuthenticationError):
                continue  # whoever it was is gone, or does not know the secret


def serve(connection: "Connection[bytes, bytes]") -> None:
    """One pack, answered; what cannot be read is nobody's pack."""
    try:
        asked = receive_pack(connection)
    except (ValueError, KeyError, TypeError):
        return
    send_replies(connection, answer_here(asked))


if __name__ == "__main__":
    main()
