"""What reaches a server that is deployed: heads of requests, and files of public keys."""

import tempfile
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedlora.bench.trust.fuzz_target import Target
from fedlora.errors import FedloraError
from fedlora.runtime.deploy.control import read_public_key
from fedlora.runtime.deploy.gate import RefusalError, parse_head
from fedlora.runtime.deploy.shares import comment_of, share_of

_HEAD = (
    b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\nFlwr-Public-Key: aW52aXRlZA==\r\n"
    b"Content-Type: application/protobuf\r\nContent-Length: 12\r\n"
)
_END = b"\r\n\r\n"


def deploy_targets() -> list[Target]:
    """The gate's reader of heads, and the reader of keys and the shares in their comments."""
    key = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    keys = [b"%s %s\n" % (line, comment_of(share).encode()) for share in (3, None)]
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-")
    return [
        Target("head of a request", [_HEAD + b"\r\n"], _head),
        Target("public key", keys, partial(_key, scratch)),
    ]


def _head(data: bytes) -> object:
    """As the gate cuts it from a connection: up to the first blank line."""
    head, end, _ = data.partition(_END)
    if not end:
        raise FedloraError("a head without an end")
    try:
        return parse_head(head + end)
    except RefusalError as error:
        raise FedloraError(str(error)) from None


def _key(scratch: tempfile.TemporaryDirectory[str], data: bytes) -> object:
    file = Path(scratch.name) / "a.pub"
    file.write_bytes(data)
    return share_of(file), read_public_key(file)
