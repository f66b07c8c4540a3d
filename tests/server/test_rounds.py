"""Rounds of every method on real clients: the same wherever they run, however often killed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.hetlora import at_ranks
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import seats
from fedlora.runtime.inprocess import InProcess
from fedlora.server import warm_start as warming
from fedlora.server.asking import Asker
from fedlora.server.context import ENVELOPE_BYTES, ServerContext
from fedlora.server.describing import describe
from fedlora.server.groups import Warm
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.warm_start import warm_start
from fedlora.wire.exchange import Reply, Request
from fedlora.wire.message import decode, encode
from tests.conftest import killed_at, merged, small_config

ADAPTER = 4096
"""Values of an adapter of rank 2 for the tiny ViT."""

MIXED = ("flexlora", "flora", "hetlora", "product")


class Scattered(InProcess):
    """Each question goes to another process than the one before, until it all ends."""

    def __init__(self, config: RunConfig, die_after: int = 10**9) -> None:
        self.clients = [Client(config, 0), Client(config, 0)]
        self.left, self.count = die_after, 0
        super().__init__(self.next)

    def next(self, client: int, frame: bytes) -> bytes:
        self.count += 1
        return self.clients[self.count % 2].handle(client, frame)

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        for reply in super().exchange(requests):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield reply


def changed(frame: bytes, values: torch.Tensor) -> bytes:
    """An answer with other bytes in the place of its adapter."""
    message = decode(frame, ENVELOPE_BYTES)
    return encode(replace(message, tensors={"adapter.trained": values.view(torch.uint8)}))


LIES = [
    lambda frame: frame[:-3],
    lambda frame: frame + bytes(2 * ENVELOPE_BYTES),
    lambda frame: changed(frame, torch.zeros(100_000)),
    lambda frame: changed(frame, torch.full((ADAPTER,), float("nan"))),
]


class Lying(InProcess):
    """Every client answers honestly so often in all, and then each with a lie of its own."""

    def __init__(self, config: RunConfig, honest: int) -> None:
        self.left = honest
        super().__init__(Client(config, 0).handle)

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        for reply in super().exchange(requests):
            self.left -= 1
            assert reply.frame is not None
            lie = LIES[reply.client](reply.frame) if self.left < 0 else reply.frame
            yield replace(reply, frame=lie)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def config_of(name: str, **changes: object) -> RunConfig:
    ranks = {"rank": 3, "ranks": [3, 1, 2]} if name in MIXED else {"rank": 2}
    sections = {
        "lora": {**ranks, "alpha": 4},
        "tasks": {"bank": 4, "held_out": 1, "splits": {"train": 20, "test": 10}},
        "shards": {"per_task": 1, "min_examples": 2},
        "warm_start": {"rounds": 3, "aggregation": {"name": name}, "score": True},
    }
    return small_config(**merged(sections, changes))


def context_of(config: RunConfig, folder: Path, transport: object) -> ServerContext:
    journal = Journal(folder / "journal.sqlite")
    asker = Asker(transport, journal, config.rounds, Silent(), ENVELOPE_BYTES)
    codec = config.codec.build()
    slot = Client(config, 0).slot
    return ServerContext(
        config, 0, folder, seats(config), slot.spec, codec, journal, asker, Silent()
    )


def live(context: ServerContext) -> Warm:
    members = [seat for seat in context.seats if seat.role == "bank"]
    return warm_start(context, describe(context, "describe", members))


def same(a: Warm, b: Warm) -> bool:
    return all(a.starts[c].digest() == b.starts[c].digest() for c in a.starts)


@pytest.mark.parametrize(
    "name",
    [
        "fedavg",
        "fedex",
        "scaffold",
        "hetlora",
        "ffa",
        "fedsa",
        "flexlora",
        "flora",
        "rolora",
    ],
)
def test_a_method_is_the_same_on_one_process_on_many_and_after_a_kill(name, tmp_path):
    config = config_of(name)
    alone = live(context_of(config, tmp_path / "a", InProcess(Client(config, 0).handle)))
    killed = context_of(config, tmp_path / "b", Scattered(config, die_after=10))
    with pytest.raises(KeyboardInterrupt):
        live(killed)
    killed.journal.close()
    resumed = live(context_of(config, tmp_path / "b", Scattered(config)))

    assert same(alone, resumed)
    for client, start in alone.starts.items():
        assert start.spec.layers[0].rank == seats(config)[client].rank
        # Who never sees an `up` cannot hand one out.
        assert (start.up[start.spec.layers[0].name].norm() > 0) == (name != "fedsa")


def test_when_every_answer_of_a_round_is_refused_the_round_before_stays(tmp_path):
    config = config_of("fedavg")
    undisturbed = live(context_of(config, tmp_path / "a", InProcess(Client(config, 0).handle)))
    context = context_of(config, tmp_path / "b", Lying(config, honest=8))
    with pytest.raises(FedloraError, match="warm start 2: 0 of 4 clients answered") as refused:
        live(context)
    reasons = [lost.reason for lost in context.journal.lost()]
    context.journal.close()

    assert "\n" not in str(refused.value)
    for reason, says in zip(reasons, ("frame", "frame", "400000 bytes", "NaN"), strict=True):
        assert says in reason
    again = Scattered(config)
    assert same(undisturbed, live(context_of(config, tmp_path / "b", again)))
    assert again.count == 8  # two rounds of four; the first was not asked again


def test_ranks_that_were_pruned_in_a_round_are_known_only_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora.client.tuition.pruned", without_the_last)
    config = config_of("hetlora", codec_up={"name": "delta", "inner": {"name": "none"}})
    whole = live(context_of(config, tmp_path / "whole", InProcess(Client(config, 0).handle)))
    killed = context_of(config, tmp_path / "killed", InProcess(Client(config, 0).handle))
    with killed_at(warming, "save"):
        live(killed)
    killed.journal.close()
    resumed = context_of(config, tmp_path / "killed", InProcess(Client(config, 0).handle))

    assert same(whole, live(resumed))
    assert [resumed.rank_now(client) for client in range(4)] == [1, 1, 1, 1]


def test_a_rank_that_a_refused_client_claims_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("fedlora.client.tuition.pruned", without_the_last)
    monkeypatch.setattr(warming, "vet", lambda *_, **__: {2: "odd"})
    config = config_of("hetlora")
    before = context_of(config, tmp_path / "new", InProcess(Client(config, 0).handle)).rank_now(2)
    whole = context_of(config, tmp_path / "whole", InProcess(Client(config, 0).handle))
    live(whole)
    killed = context_of(config, tmp_path / "killed", InProcess(Client(config, 0).handle))
    with killed_at(warming, "save"):
        live(killed)
    killed.journal.close()
    resumed = context_of(config, tmp_path / "killed", InProcess(Client(config, 0).handle))
    live(resumed)
    assert before > 1
    assert whole.rank_now(2) == resumed.rank_now(2) == before
    assert whole.rank_now(1) == 1


def without_the_last(_: LoraAdapter, trained: LoraAdapter, _keep: float) -> LoraAdapter:
    return at_ranks(trained, trained.spec.with_rank(max(trained.spec.layers[0].rank - 1, 1)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lora": {"rank": 2, "ranks": [2, 4]}}, "ranks: each from 1 to lora.rank=2"),
        ({"lora": {"rank": 4, "ranks": [2, 4]}}, "needs clients of one rank"),
        (
            {
                "codec": {"name": "delta"},
                "warm_start": {"rounds": 1, "aggregation": {"name": "ffa"}},
            },
            "differences need one whole adapter",
        ),
        (
            {
                "codec_up": {"name": "delta", "inner": {"name": "topk"}},
                "warm_start": {"rounds": 2, "aggregation": {"name": "flexlora"}},
            },
            "codec_up: with 'flexlora' factors are new in each round.* set feedback=false",
        ),
        (
            {
                "codec": {"name": "topk"},
                "warm_start": {"rounds": 2, "aggregation": {"name": "flora"}},
            },
            "codec: with 'flora' .* set feedback=false",
        ),
        (
            {
                "codec_up": {"name": "lowrank"},
                "warm_start": {"rounds": 2, "aggregation": {"name": "scaffold"}},
            },
            "control variates of 'scaffold' have no product",
        ),
        ({"codec": {"name": "int9"}}, "did you mean 'int8'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(FedloraError, match=said):
        small_config(**changes)
