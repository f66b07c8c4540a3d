"""Names of folders, whatever a task is called."""

import re
from hashlib import sha256

LONGEST = 100
"""Characters of a text that its folder's name keeps."""


def folder_name(text: str) -> str:
    """A file name for any text: readable, safe whatever the text holds, and its own.

    A text that has to be changed is told from others by a mark, the beginning of its SHA-256.
    """
    readable = re.sub(r"[^A-Za-z0-9=.,_-]+", "_", text)[:LONGEST].strip("._") or "adapter"
    return readable if readable == text else f"{readable}-{sha256(text.encode()).hexdigest()[:8]}"
