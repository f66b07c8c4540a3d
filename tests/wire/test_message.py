"""A message arrives as it was sent, and anything else is refused in one line."""

import contextlib
import json
import resource
import struct
import sys
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedlora import frame
from fedlora.errors import FedloraError
from fedlora.wire.message import Message, decode, encode, payload

LIMIT = 1 << 20
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | text
    | st.floats(allow_nan=False, allow_infinity=False)
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
dtypes = st.sampled_from(
    [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int8,
        torch.uint8,
    ]
)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    values = torch.arange(torch.Size(shape).numel()).reshape(shape) - draw(st.integers(0, 5))
    return values.to(draw(dtypes))


messages = st.builds(
    Message,
    st.sampled_from(["control", "task_vector", "train", "adapter", "evaluation"]),
    st.dictionaries(text.filter(lambda name: name != "__metadata__"), tensors(), max_size=4),
    st.dictionaries(text, trees, max_size=4),
)


@given(messages)
@settings(deadline=None)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    data = encode(message)
    back = decode(data, LIMIT)

    assert (back.purpose, back.meta) == (message.purpose, message.meta)
    assert back.tensors.keys() == message.tensors.keys()
    for name, tensor in message.tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert torch.equal(back.tensors[name], tensor)
    assert encode(back) == data
    assert payload(back) == payload(message) <= len(data)


def test_the_order_in_which_a_message_was_built_does_not_show() -> None:
    a, b = torch.ones(2), torch.zeros(3, dtype=torch.int8)
    one = Message("train", {"a": a, "b": b}, {"x": 1, "y": {"p": 0, "q": 1}})
    two = Message("train", {"b": b, "a": a}, {"y": {"q": 1, "p": 0}, "x": 1})

    assert encode(one) == encode(two)


def test_views_of_one_storage_and_strided_tensors_travel() -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    back = decode(encode(Message("train", {"row": whole[0], "all": whole, "t": whole.T})), LIMIT)

    assert torch.equal(back.tensors["row"], whole[0])
    assert torch.equal(back.tensors["t"], whole.T)


SOUND = encode(Message("adapter", {"data": torch.arange(40.0), "n": torch.tensor(3)}, {"a": [1]}))


@given(st.data())
@settings(deadline=None, max_examples=500)
def test_a_mangled_frame_is_refused_or_is_another_sound_message(data: st.DataObject) -> None:
    mangled = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["flip", "cut", "grow", "lie"])):
            case "flip" if mangled:
                mangled[data.draw(st.integers(0, len(mangled) - 1))] ^= data.draw(
                    st.integers(1, 255)
                )
            case "cut":
                del mangled[data.draw(st.integers(0, len(mangled))) :]
            case "grow":
                mangled += data.draw(st.binary(max_size=20))
            case "lie":
                mangled[:8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
    _decode_or_refuse(bytes(mangled))


def _frame(header: str, body: bytes = b"") -> bytes:
    raw = header.encode()
    return struct.pack("<Q", len(raw)) + raw + body


def _decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(FedloraError):
        back = decode(data, LIMIT)
        assert decode(encode(back), LIMIT).meta == back.meta


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["F32", "F64", "F8_E4M3", "BOOL", "C64", "U8", "dtype", "fedlora.message"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["dtype", "shape", "data_offsets", "__metadata__", "fedlora.message", "a"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(junk, st.binary(max_size=16))
@settings(deadline=None, max_examples=300)
@example({"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}, b"")
@example({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, b"")
@example({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"")
def test_a_header_that_lies_is_refused(header: Any, body: bytes) -> None:
    _decode_or_refuse(_frame(json.dumps(header), body))


@given(junk, junk)
@settings(deadline=None, max_examples=300)
def test_an_envelope_that_lies_is_refused(purpose: Any, meta: Any) -> None:
    envelope = json.dumps({"purpose": purpose, "meta": meta})
    _decode_or_refuse(_frame(json.dumps({"__metadata__": {"fedlora.message": envelope}})))
    envelope = json.dumps({"purpose": "train", "meta": {"x": meta}})
    _decode_or_refuse(_frame(json.dumps({"__metadata__": {"fedlora.message": envelope}})))


@pytest.mark.parametrize(
    "envelope",
    [
        '{"purpose": "train", "meta": {"a": NaN}}',
        '{"purpose": "train", "meta": {"a": 1e999}}',
        '{"purpose": "train", "meta": {"a": 1, "a": 2}}',
        '{"purpose": "train", "meta": {"a": "\\ud800"}}',
        '{"purpose": "train", "meta": {"a": ' + "[" * 17 + "]" * 17 + "}}",
        '{"purpose": "train", "meta": {"a": ' + "[" * 100_000,
        '{"purpose": "train", "meta": {"a": ' + "9" * 5_000 + "}}",
        '{"purpose": "train", "meta": {"a": 9223372036854775808}}',
        '{"purpose": "sabotage", "meta": {}}',
        '{"purpose": ["train"], "meta": {}}',
        '{"meta": {}}',
        "[]",
    ],
)
def test_json_that_would_hurt_is_refused(envelope: str) -> None:
    with pytest.raises(FedloraError) as caught:
        decode(_frame(json.dumps({"__metadata__": {"fedlora.message": envelope}})), LIMIT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_is_not_finite_is_neither_sent_nor_received(bad: float, dtype: torch.dtype) -> None:
    with pytest.raises(FedloraError, match="'x' holds NaN or infinity"):
        encode(Message("train", {"x": torch.tensor([1.0, bad], dtype=dtype)}))

    data = encode(Message("train", {"x": torch.ones(1, dtype=dtype)}))
    value = bytes(torch.tensor([bad], dtype=dtype).view(torch.uint8).tolist())
    with pytest.raises(FedloraError, match="'x' holds NaN or infinity"):
        decode(data[: -len(value)] + value, LIMIT)


@pytest.mark.parametrize(
    "message",
    [
        Message("gossip"),  # type: ignore[arg-type]
        Message("train", {"x": torch.zeros(1, dtype=torch.complex64)}),
        Message("train", {"__metadata__": torch.zeros(1)}),
        Message("train", {}, {"x": float("nan")}),
        Message("train", {}, {"x": {1: 2}}),  # type: ignore[dict-item]
        Message("train", {}, {"x": object()}),  # type: ignore[dict-item]
        Message("train", {}, {"x": "x" * frame.HEADER_LIMIT}),
    ],
)
def test_what_cannot_arrive_is_not_sent(message: Message) -> None:
    with pytest.raises(FedloraError):
        encode(message)


def test_a_frame_over_the_limit_is_not_even_read() -> None:
    with pytest.raises(FedloraError, match="more than the 10 allowed"):
        decode(b"\xff" * 11, 10)


def test_a_header_that_claims_gigabytes_costs_no_memory() -> None:
    huge = _frame('{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for lie in (huge, struct.pack("<Q", sys.maxsize) + b"{}"):
        with pytest.raises(FedloraError):
            decode(lie, LIMIT)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kilobytes
