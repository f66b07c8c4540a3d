"""The bank keeps what it was given, in an order of its own, and refuses the rest."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.bank import Bank, Record
from fedlora.errors import FedloraError
from tests.adapters import random_adapter

SPEC = AdapterSpec(
    base="b" * 64,
    layers=(LayerSpec("a.q", 10, 8, 3), LayerSpec("a.v", 10, 6, 3)),
    alpha=6.0,
    head=(("classifier.weight", (2, 10)),),
)
HOSTILE = [
    "../../etc/passwd",
    "/",
    "..",
    "a\0b",
    "'; DROP TABLE records; --",
    "<script>",
    "a\nb",
    "%s{}",
    "con",
    " ",
    "é",
    "e\u0301",
    "\U0001f40d",
    "x" * 1000,
]


def adapter(seed: int = 0, spec: AdapterSpec = SPEC) -> LoraAdapter:
    return random_adapter(spec, seed)


def vector(seed: int = 0, size: int = 5) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def record(task: str = "task", client: int = 0, sample: int = 0, rank: int = 3) -> Record:
    return Record(task, client, 1, sample, rank, 7, {"accuracy": 0.5})


def test_what_was_added_is_there_after_reopening(tmp_path: Path) -> None:
    digest = Bank.open(tmp_path, SPEC, create=True).add(record(), adapter(1), vector(2))
    bank = Bank.open(tmp_path)

    (stored,) = bank.records()
    assert stored.digest == digest == adapter(1).digest()
    assert stored.key == record().key
    assert (stored.rank, stored.seed, stored.metrics) == (3, 7, {"accuracy": 0.5})
    assert torch.equal(bank.load(digest).flatten(), adapter(1).flatten())
    assert bank.load(digest).spec == SPEC
    assert torch.equal(bank.vector(stored), vector(2))


def test_adding_the_same_again_changes_nothing(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    bank.add(record(), adapter(), vector())
    before = bank.digest()
    bank.add(record(), adapter(), vector())

    assert len(bank) == 1
    assert bank.digest() == before


def test_equal_adapters_share_one_file(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    for client in range(3):
        bank.add(record(client=client), adapter(), vector(client))

    assert len(bank) == 3
    assert len(list((tmp_path / "adapters").iterdir())) == 1


names = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
)
keys = st.lists(
    st.tuples(names, st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6, unique=True
)


@given(keys, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=25)
def test_the_order_of_arrival_does_not_show(
    tmp_path_factory: pytest.TempPathFactory,
    given_keys: list[tuple[str, int, int]],
    shuffler: random.Random,
) -> None:
    one = Bank.open(tmp_path_factory.mktemp("one"), SPEC, create=True)
    two = Bank.open(tmp_path_factory.mktemp("two"), SPEC, create=True)
    sent = [(record(*key), adapter(i % 3), vector(i)) for i, key in enumerate(given_keys)]
    for arrival in sent:
        one.add(*arrival)
    shuffler.shuffle(sent)
    for arrival in sent:
        two.add(*arrival)

    assert one.digest() == two.digest()
    assert one.records() == two.records()
    assert [r.key for r in one.records()] == sorted(r.key for r, _, _ in sent)
    assert torch.equal(one.training_bank().conditions, two.training_bank().conditions)


def test_the_digest_sees_every_part(tmp_path: Path) -> None:
    digests = set()
    base = (record(), adapter(), vector())
    changes = [
        base,
        (record("other"), *base[1:]),
        (record(client=1), *base[1:]),
        (record(sample=1), *base[1:]),
        (base[0], adapter(1), base[2]),
        (*base[:2], vector(1)),
    ]
    for i, change in enumerate(changes):
        bank = Bank.open(tmp_path / str(i), SPEC, create=True)
        bank.add(*change)
        digests.add(bank.digest())

    assert len(digests) == len(changes)


def test_a_training_bank_pairs_adapters_with_their_vectors(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    for i, task in enumerate(["b", "a", "c"]):
        bank.add(record(task), adapter(i), vector(i))
    training = bank.training_bank()

    assert list(training.tasks) == ["a", "b", "c"]
    for found, condition, i in zip(training.adapters, training.conditions, [1, 0, 2], strict=True):
        assert found.digest() == adapter(i).digest()
        assert torch.equal(condition, vector(i))


def test_ranks_may_differ_and_nothing_else(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    small = SPEC.with_rank(2)
    digest = bank.add(record(rank=2), adapter(0, small), vector())
    assert bank.load(digest).spec == small

    layers = SPEC.layers
    others = {
        "another base model": AdapterSpec("c" * 64, layers, 6.0, head=SPEC.head),
        "other layers, first 'a.v'": AdapterSpec("b" * 64, layers[:1], 6.0, head=SPEC.head),
        "alpha=8": AdapterSpec("b" * 64, layers, 8.0, head=SPEC.head),
        "rslora=True": AdapterSpec("b" * 64, layers, 6.0, rslora=True, head=SPEC.head),
        "another head": AdapterSpec("b" * 64, layers, 6.0),
    }
    for reason, spec in others.items():
        with pytest.raises(FedloraError, match=reason):
            bank.add(record("new"), adapter(0, spec), vector())
        with pytest.raises(FedloraError, match=reason):
            Bank.open(tmp_path, spec)
    assert len(bank) == 1


def test_another_adapter_under_the_same_record_is_refused(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    bank.add(record(), adapter(0), vector())
    with pytest.raises(FedloraError, match="another sample number"):
        bank.add(record(), adapter(1), vector())

    assert len(list((tmp_path / "adapters").iterdir())) == 1


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(5, 1),
        torch.zeros(0),
        torch.zeros(6),
        torch.zeros(5, dtype=torch.float64),
        torch.tensor([0, 0, 0, 0, float("nan")]),
    ],
)
def test_a_malformed_vector_is_refused(tmp_path: Path, bad: torch.Tensor) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    bank.add(record(), adapter(), vector())
    before = bank.digest()
    with pytest.raises(FedloraError, match="task vector"):
        bank.add(record("new"), adapter(1), bad)

    assert bank.digest() == before
    assert len(list((tmp_path / "adapters").iterdir())) == 1


def test_a_malformed_adapter_is_refused(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    good = adapter()
    head = {"classifier.weight": torch.full((2, 10), torch.nan)}
    nan = LoraAdapter(SPEC, good.down, good.up, head)
    with pytest.raises(FedloraError, match="NaN or infinity"):
        bank.add(record(), nan, vector())
    with pytest.raises(FedloraError, match="rank 3 under a record of rank 2"):
        bank.add(record(rank=2), good, vector())

    assert len(bank) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", ""),
        ("task", "x" * 1001),
        ("task", "\ud800"),
        ("client", 1 << 63),
        ("round", 1.0),
        ("seed", True),
        ("metrics", {"loss": float("nan")}),
        ("metrics", {"loss": 10**400}),
        ("metrics", {"loss": "low"}),
        ("metrics", [1]),
    ],
)
def test_a_malformed_record_is_refused(key: str, value: object) -> None:
    fields = {
        "task": "t",
        "client": 0,
        "round": 0,
        "sample": 0,
        "rank": 3,
        "seed": 0,
        "metrics": {},
    }
    with pytest.raises(FedloraError):
        Record(**(fields | {key: value}))  # type: ignore[arg-type]


def test_there_is_no_bank_where_none_was_made(tmp_path: Path) -> None:
    with pytest.raises(FedloraError, match="no bank in"):
        Bank.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_bank_has_nothing_to_learn_from(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    with pytest.raises(FedloraError, match="the bank is empty"):
        bank.training_bank()


@pytest.mark.parametrize("digest", ["../index", "", "f" * 63, "F" * 64, "f" * 64 + "\n"])
def test_a_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(FedloraError, match="not the digest"):
        Bank.open(tmp_path, SPEC, create=True).load(digest)


def test_the_same_sample_may_come_at_several_ranks(tmp_path: Path) -> None:
    bank = Bank.open(tmp_path, SPEC, create=True)
    for rank in (2, 1):
        bank.add(
            Record("task", 0, 0, 0, rank, 0, {}), adapter(rank, SPEC.with_rank(rank)), torch.ones(3)
        )

    assert [record.rank for record in bank.records()] == [1, 2]
    assert {bank.load(r.digest).spec.layers[0].rank for r in bank.records()} == {1, 2}
