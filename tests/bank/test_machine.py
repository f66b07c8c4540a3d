"""Whatever is done to a bank and its quarantine, both hold what a dictionary would."""

import tempfile
from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fedlora.bank import Bank, Record
from fedlora.bank.quarantine import Quarantine
from fedlora.errors import FedloraError
from tests.bank.test_bank import HOSTILE, SPEC, adapter, vector

KEYS = st.tuples(st.sampled_from(["a", *HOSTILE]), st.integers(0, 2), st.integers(0, 1))
SEEDS = st.integers(0, 3)


def record(key: tuple[str, int, int]) -> Record:
    return Record(key[0], key[1], 0, key[2], 3, 0, {})


class BankMachine(RuleBasedStateMachine):
    """A bank beside a dictionary of digests, a quarantine beside another."""

    @initialize()
    def begin(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.root = Path(self.scratch.name)
        Bank.open(self.root / "bank", SPEC, create=True)
        self.inside: dict[tuple[str, int, int], int] = {}
        self.held: dict[str, tuple[tuple[str, int, int], int]] = {}

    def teardown(self) -> None:
        self.scratch.cleanup()

    @property
    def bank(self) -> Bank:
        return Bank.open(self.root / "bank")

    @property
    def quarantine(self) -> Quarantine:
        return Quarantine(self.root / "quarantine")

    @rule(key=KEYS, seed=SEEDS)
    def add(self, key: tuple[str, int, int], seed: int) -> None:
        try:
            self.bank.add(record(key), adapter(seed), vector())
            assert self.inside.setdefault(key, seed) == seed
        except FedloraError:
            assert self.inside.get(key, seed) != seed

    @rule(key=KEYS, kind=st.integers(0, 3))
    def add_what_is_refused(self, key: tuple[str, int, int], kind: int) -> None:
        before = self.bank.digest()
        broken = adapter(9)
        values = {
            0: (record(key), adapter(9, SPEC.with_rank(2)), vector()),
            1: (record(key), adapter(9), vector() * float("inf")),
            2: (record(key), adapter(9), torch.ones(2, 2)),
            3: (record(key), type(broken)(SPEC, broken.up, broken.down, broken.head), vector()),
        }[kind]
        try:
            self.bank.add(*values)
            raise AssertionError("it was let in")
        except FedloraError:
            assert self.bank.digest() == before

    @rule(key=KEYS, seed=SEEDS)
    def hold(self, key: tuple[str, int, int], seed: int) -> None:
        before = self.bank.digest()
        name = self.quarantine.hold(record(key), adapter(seed), vector(), "odd")
        self.held[name] = key, seed
        assert self.bank.digest() == before

    @rule(release=st.booleans())
    def decide(self, release: bool) -> None:
        for name, (key, seed) in sorted(self.held.items())[:1]:
            if release and self.inside.get(key, seed) == seed:
                self.quarantine.release(name, self.bank)
                self.inside[key] = seed
            else:
                self.quarantine.drop(name)
            del self.held[name]

    @rule()
    def leave_half_a_file(self) -> None:
        """What a kill leaves: a temporary file, and an adapter that no row names."""
        folder = self.root / "bank" / "adapters"
        folder.mkdir(exist_ok=True)
        (folder / ".half.part").write_bytes(b"half")

    @invariant()
    def both_hold_what_was_put_there(self) -> None:
        if not hasattr(self, "inside"):
            return
        stored = {(r.task, r.client, r.sample): r.digest for r in self.bank.records()}
        assert stored == {key: adapter(seed).digest() for key, seed in self.inside.items()}
        assert {one.name for one in self.quarantine} == set(self.held)
        self.bank.check()


BankMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestBankAndQuarantine = BankMachine.TestCase
