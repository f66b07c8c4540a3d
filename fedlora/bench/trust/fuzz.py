"""Hostile inputs: what is valid, with bytes flipped, cut out, repeated and made up."""

import random
import time
from dataclasses import dataclass
from functools import partial

import torch

from fedlora import frame
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.bench.peak import with_peak
from fedlora.bench.trust.fuzz_bank import bank_targets
from fedlora.bench.trust.fuzz_deploy import deploy_targets
from fedlora.bench.trust.fuzz_files import file_targets
from fedlora.bench.trust.fuzz_target import ADAPTER, Target
from fedlora.errors import FedloraError
from fedlora.registry import find, names
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.ledger import Entry
from fedlora.wire.message import JSON, Message, decode, encode

LIMIT = 1 << 20
_NASTY = [b"\x00", b"\xff" * 8, b"{", b"[" * 64, b'"', b"\\ud800", b"1e999", b"NaN", b"../", b"-1"]
_NASTY += [(1 << 63).to_bytes(8, "little"), str(1 << 70).encode(), b"__metadata__", b"null"]


@dataclass(frozen=True)
class Found:
    """What came of the inputs of one target.

    crashes: of inputs that raised something else, the first ones. slowest: processor
    seconds of one input.
    growth: the most bytes of resident memory beyond those before; None where that is not known.
    changed: inputs that were not accepted and yet changed the target's state; None where it has
    none.
    """

    inputs: int
    accepted: int
    crashes: list[str]
    slowest: float
    growth: int | None
    changed: int | None


def fuzz(target: Target, count: int, seed: int) -> Found:
    """Read `count` mutations of a target's seeds, the same ones for a seed."""
    draw = random.Random(f"{target.name}/{seed}")
    accepted, changed, crashes, slowest = 0, 0, list[str](), 0.0
    state = target.state or (lambda: None)

    def read_all() -> None:
        nonlocal accepted, changed, slowest
        before = state()
        for _ in range(count):
            data, taken = mutated(draw, draw.choice(target.seeds)), False
            began = time.thread_time()
            try:
                target.read(data)
                taken = True
            except FedloraError:
                pass
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                crashes.append(f"{target.name}: {type(error).__name__}: {error} for {data!r:.200}")
            slowest = max(slowest, time.thread_time() - began)
            now = state()
            accepted += taken
            changed += not taken and now != before
            before = now

    _, growth = with_peak(read_all)
    told = None if target.state is None else changed
    return Found(count, accepted, crashes, slowest, growth, told)


def mutated(draw: random.Random, data: bytes) -> bytes:
    """One to four changes."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(out) + 1)
        kind = draw.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            out[at : at + draw.randint(1, 16)] = b""
        elif kind == 2:
            out[at:at] = draw.choice(_NASTY)
        elif kind == 3:
            out[at:at] = out[at : at + draw.randint(1, 32)]
        elif kind == 4:
            out[at : at + 8] = draw.randbytes(8)
        else:
            width = draw.randint(1, 8)
            out[at : at + width] = draw.choice(_NASTY)[:width]
    return bytes(out)


def targets() -> list[Target]:
    """Everything that reads bytes, lines or files of others."""
    meta: dict[str, JSON] = {
        "action": "finetune",
        "task": "a",
        "samples": [{"accuracy": 0.5}],
        "deep": [[1]],
    }
    message = encode(Message("adapter", {"adapter.0": torch.arange(48).byte()}, meta))
    spec = ADAPTER.spec.to_json()
    framed = frame.pack(ADAPTER.tensors(), "fedlora.spec", spec)
    entry = Entry("finetune", 0, 1, "up", "adapter", 10, 20, 30).to_line().encode()
    found = [
        Target("message", [message], lambda data: decode(data, LIMIT)),
        Target("frame", [framed], _adapter),
        Target(
            "spec",
            [ADAPTER.spec.to_json().encode()],
            lambda data: AdapterSpec.from_json(_text(data)),
        ),
        Target("ledger", [entry], lambda data: Entry.from_line(_text(data))),
    ]
    for name in names("wire.codecs"):
        part = find("wire.codecs", name)
        codec: Codec = part(part.Config())
        seed = bytes(codec.encode(ADAPTER).tolist())
        found.append(Target(f"codec {name}", [seed], partial(_decoded, codec)))
    return [*found, *file_targets(), *bank_targets(), *deploy_targets()]


def _decoded(codec: Codec, data: bytes) -> LoraAdapter:
    return codec.decode(torch.tensor(list(data), dtype=torch.uint8), ADAPTER.spec)


def _adapter(data: bytes) -> LoraAdapter:
    tensors, metadata = frame.unpack(data, LIMIT)
    return LoraAdapter.from_tensors(
        AdapterSpec.from_json(metadata.get("fedlora.spec", "")), tensors
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
