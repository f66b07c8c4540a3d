"""In whatever order messages come, every codec keeps its bound and remembers none of them."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
)
from torch import Tensor

from fedlora import registry
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.product import distance
from fedlora.config import CodecPart
from fedlora.errors import FedloraError
from fedlora.wire.codecs.contract import Codec
from tests.adapters import random_adapter

SPECS = (
    AdapterSpec("b" * 64, (LayerSpec("a", 6, 5, 1),), 2.0),
    AdapterSpec("b" * 64, (LayerSpec("a", 12, 9, 4), LayerSpec("b", 12, 7, 2)), 8.0),
    AdapterSpec("b" * 64, (LayerSpec("a", 5, 8, 3),), 4.0, (("head", (3, 5)),)),
)
CARRIED = 1e4
"""Values that every codec can carry."""

Sent = tuple[str, int, int, int]
"""Codec, spec, exponent of the spread, seed."""

SENT = st.tuples(
    st.sampled_from(registry.names("wire.codecs")),
    st.integers(0, len(SPECS) - 1),
    st.sampled_from([-45, -30, -8, -2, 0, 3, 6, 30]),
    st.integers(0, 3),
)


def adapter(sent: Sent) -> LoraAdapter:
    _, spec, exponent, seed = sent
    if seed == 0:
        return LoraAdapter.from_flat(SPECS[spec], torch.zeros(SPECS[spec].size))
    return random_adapter(SPECS[spec], seed, 10.0**exponent)


def error(codec: Codec, one: LoraAdapter, two: LoraAdapter) -> float:
    if codec.measure == "product":
        return distance(one, two)
    return float((one.flatten().double() - two.flatten().double()).abs().max())


class CodecMachine(RuleBasedStateMachine):
    """One codec of every kind, used again and again, beside what each message was before."""

    messages = Bundle("messages")

    @initialize()
    def begin(self) -> None:
        self.codecs = {name: CodecPart(name=name).build() for name in registry.names("wire.codecs")}
        self.bytes: dict[Sent, Tensor | None] = {}

    @rule(target=messages, sent=SENT)
    def encode(self, sent: Sent) -> object:
        codec, values = self.codecs[sent[0]], adapter(sent)
        try:
            data = codec.encode(values)
        except FedloraError:
            assert float(values.flatten().abs().max()) > CARRIED
            data = None
        before = self.bytes.setdefault(sent, data)
        if data is None or before is None:
            assert data is before
            return multiple()
        assert torch.equal(data, before)
        return sent

    @rule(sent=messages)
    def decode(self, sent: Sent) -> None:
        codec, values = self.codecs[sent[0]], adapter(sent)
        received = codec.decode(self.bytes[sent], values.spec)
        assert received.spec == values.spec
        assert bool(torch.isfinite(received.flatten()).all())
        assert error(codec, values, received) <= codec.error_bound(values)

    @rule(sent=messages, other=st.integers(0, len(SPECS) - 1))
    def decode_as_another(self, sent: Sent, other: int) -> None:
        self.refused_or_finite(sent[0], self.bytes[sent], SPECS[other])

    @rule(sent=messages, data=st.data())
    def decode_mutated(self, sent: Sent, data: st.DataObject) -> None:
        mutated = self.bytes[sent].clone()
        for _ in range(data.draw(st.integers(1, 4))):
            mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
        self.refused_or_finite(sent[0], mutated, SPECS[sent[1]])

    @rule(sent=messages, cut=st.integers(1, 8))
    def decode_cut(self, sent: Sent, cut: int) -> None:
        with pytest.raises(FedloraError):
            self.codecs[sent[0]].decode(self.bytes[sent][:-cut], SPECS[sent[1]])

    @rule(sent=SENT, bad=st.sampled_from([float("nan"), float("inf")]))
    def encode_what_is_not_finite(self, sent: Sent, bad: float) -> None:
        values = adapter(sent)
        values.down["a"][0, 0] = bad
        with pytest.raises(FedloraError):
            self.codecs[sent[0]].encode(values)

    @rule(sent=SENT, reference=st.integers(1, 3))
    @precondition(lambda self: hasattr(self, "codecs"))
    def send_a_difference(self, sent: Sent, reference: int) -> None:
        """What is bound to a reference is another codec: the one it came from knows none."""
        name, spec, _, _ = sent
        known, values = random_adapter(SPECS[spec], reference, 0.02), adapter(sent)
        codec = self.codecs[name].against(known.flatten())
        try:
            received = codec.decode(codec.encode(values), values.spec)
        except FedloraError:
            assert float(values.flatten().abs().max()) > CARRIED
            return
        assert error(codec, values, received) <= codec.error_bound(values)

    def refused_or_finite(self, name: str, data: Tensor, spec: AdapterSpec) -> None:
        try:
            received = self.codecs[name].decode(data, spec)
        except FedloraError:
            return
        assert received.spec == spec
        assert bool(torch.isfinite(received.flatten()).all())


CodecMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestCodecs = CodecMachine.TestCase


def test_a_codec_that_remembers_is_found_out():
    class Remembering(Codec):
        measure, sent = "value", 0

        def pack(self, values, shapes):
            self.sent += 1
            return inner.pack(self.sent * values, shapes)

        def unpack(self, data, shapes):
            return inner.unpack(data, shapes)

        def most(self, shapes):
            return inner.most(shapes)

        def bound(self, values, shapes):
            return inner.bound(values, shapes)

    machine, sent = CodecMachine(), ("none", 1, 0, 1)
    machine.begin()
    inner = machine.codecs["none"]
    machine.encode(sent)
    machine.encode(sent)
    machine.codecs["none"] = Remembering(inner.config)
    machine.encode(sent)
    with pytest.raises(AssertionError):
        machine.encode(sent)
