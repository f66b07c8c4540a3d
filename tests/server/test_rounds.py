"""Rounds of every method on real clients: the same wherever they run, however often killed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from fedlora import registry
from fedlora.adapter import LoraAdapter
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import seats
from fedlora.runtime.inprocess import InProcess
from fedlora.server.asking import Asker
from fedlora.server.context import ENVELOPE_BYTES, ServerContext
from fedlora.server.describing import describe
from fedlora.server.groups import Warm, groups_of, load
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.warm_start import warm_start
from fedlora.wire.exchange import Reply, Request
from fedlora.wire.ledger import Entry
from fedlora.wire.message import Message, decode, encode
from tests.conftest import small_config

MIXED = ("flexlora", "flora", "hetlora", "product")
CHAIN = {"name": "zstd", "inner": {"name": "delta", "inner": {"name": "topk", "fraction": 0.2}}}


class Scattered(InProcess):
    """Each question goes to another process; `lost` clients' answers to round 2 never come."""

    def __init__(self, config: RunConfig, lost: Sequence[int] = (), die_after: int = 10**9) -> None:
        self.clients = [Client(config, 0), Client(config, 0)]
        self.lost, self.left, self.count = lost, die_after, 0
        super().__init__(self.next)

    def next(self, client: int, frame: bytes) -> bytes:
        self.count += 1
        return self.clients[self.count % 2].handle(client, frame)

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        for reply in super().exchange(requests):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            gone = reply.client in self.lost and self.count // len(requests) == 3
            yield Reply(reply.client, None, "lost") if gone else reply


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
    return small_config(**sections, **changes)


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


@pytest.mark.parametrize("name", registry.names("aggregation"))
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


@pytest.mark.parametrize("name", ["fedex", "flora", "rolora", "scaffold", "fedsa"])
def test_who_misses_a_round_or_loses_its_memory_joins_again(name, tmp_path):
    config = config_of(name)
    context = context_of(config, tmp_path / "a", Scattered(config, lost=[1]))
    warm = live(context)

    assert [lost.round for lost in context.journal.lost()] == [2]
    assert len(context.journal.answers("warm_start", 3)) == 4
    assert not any(context.journal.answers("warm_start", 3).values())
    assert set(warm.starts) == {0, 1, 2, 3}


@pytest.mark.parametrize("direction", ["codec", "codec_up"])
def test_differences_with_feedback_are_the_same_wherever_they_are_made(direction, tmp_path):
    config = config_of("fedavg", **{direction: CHAIN})
    alone = live(context_of(config, tmp_path / "a", InProcess(Client(config, 0).handle)))
    spread = live(context_of(config, tmp_path / "b", Scattered(config)))

    assert same(alone, spread)


@pytest.mark.parametrize("name", ["fedavg", "fedsa", "rolora", "flora", "scaffold"])
def test_differences_say_the_same_as_whole_adapters(name, tmp_path):
    exact = {"name": "delta", "inner": {"name": "none"}}
    down = {"codec": exact} if name in ("fedavg", "scaffold") else {}
    config = config_of(name, codec_up=exact, **down)
    lost = [] if name == "fedsa" else [1]  # whose memory decides what it goes on with
    whole = live(context_of(config_of(name), tmp_path / "a", Scattered(config_of(name), lost)))
    apart = live(context_of(config, tmp_path / "b", Scattered(config, lost)))
    a, b = whole.common.flatten(), apart.common.flatten()

    assert float((a - b).norm() / a.norm()) < 1e-3


def test_what_a_codec_leaves_out_comes_later(tmp_path):
    """Over rounds, error feedback brings what a tenth of the values alone would lose."""
    rounds = {"rounds": 8, "aggregation": {"name": "fedavg"}}
    exact = live(run("none", rounds, tmp_path / "a", feedback=False))
    with_feedback = live(run("topk", rounds, tmp_path / "b", feedback=True))
    without = live(run("topk", rounds, tmp_path / "c", feedback=False))

    def off(warm: Warm) -> float:
        return float((warm.common.flatten() - exact.common.flatten()).norm())

    assert off(with_feedback) < off(without)


def run(codec: str, rounds: dict, folder: Path, feedback: bool) -> ServerContext:
    part = {"name": "none"}
    if codec == "topk":
        inner = {"name": "topk", "fraction": 0.1, "feedback": feedback}
        part = {"name": "delta", "inner": inner}
    config = config_of("fedavg", codec_up=part).model_copy()
    config = small_config(
        tasks={"bank": 4, "held_out": 1, "splits": {"train": 20, "test": 10}},
        shards={"per_task": 1},
        warm_start=rounds,
        codec_up=part,
    )
    return context_of(config, folder, InProcess(Client(config, 0).handle))


def test_tasks_that_are_kept_apart_do_not_mix(tmp_path):
    config = config_of("fedavg")
    apart = small_config(
        **{
            **config.model_dump(mode="json", include={"lora", "tasks"}),
            "shards": {"per_task": 2, "min_examples": 2},
            "warm_start": {"rounds": 2, "per_task": True},
        }
    )
    context = context_of(apart, tmp_path, InProcess(Client(apart, 0).handle))
    warm = live(context)
    members = [seat for seat in context.seats if seat.role == "bank"]

    by_task: dict[str, set[str]] = {}
    for seat in members:
        by_task.setdefault(seat.task, set()).add(warm.starts[seat.client].digest())
    assert [len(digests) for digests in by_task.values()] == [1] * 4
    assert len(set.union(*by_task.values())) == 4


def test_what_a_method_sends_is_what_its_table_says(tmp_path):
    """Payload of a client in round 3, in values of an adapter of rank 2."""
    sizes = {}
    for name in ("fedavg", "ffa", "fedsa", "rolora", "scaffold", "fedex"):
        config = config_of(name)
        context = context_of(config, tmp_path / name, InProcess(Client(config, 0).handle))
        live(context)
        entries = map(Entry.from_line, context.journal.lines("ledger"))
        last = [e for e in entries if e.phase == "warm_start" and (e.round, e.client) == (3, 0)]
        sizes[name] = {e.direction: e.payload / 4 for e in last}
    spec = context.spec
    down = sum(x.rank * x.d_in for x in spec.layers)
    up = sum(x.rank * x.d_out for x in spec.layers)

    assert sizes["fedavg"] == {"up": up + down, "down": up + down}
    assert sizes["ffa"] == {"up": up, "down": up}
    assert sizes["fedsa"] == {"up": down, "down": down}
    assert sizes["rolora"] == {"up": up, "down": down}
    assert sizes["scaffold"] == {"up": 2 * (up + down), "down": 2 * (up + down)}
    assert sizes["fedex"] == {"up": up + down, "down": 4 * (up + down)}


def test_clients_say_how_well_they_are_served(tmp_path):
    config = config_of("fedex")
    context = context_of(config, tmp_path, InProcess(Client(config, 0).handle))
    live(context)

    lines = [line for line in context.journal.lines("metrics") if '"value"' in line]
    assert len(lines) == 3 * 4


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
        ({"codec": {"name": "int9"}}, "did you mean 'int8'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(FedloraError, match=said):
        small_config(**changes)


def test_a_hostile_rank_costs_its_own_answer(tmp_path):
    class Liar(InProcess):
        def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
            for reply in super().exchange(requests):
                message = decode(reply.frame, 1 << 30)
                lies = reply.client == 0 and "rank" in message.meta
                meta = {**message.meta, "rank": 99} if lies else message.meta
                yield Reply(reply.client, encode(Message(message.purpose, message.tensors, meta)))

    config = config_of("hetlora")
    context = context_of(config, tmp_path, Liar(Client(config, 0).handle))
    live(context)

    assert {(lost.client, lost.round) for lost in context.journal.lost()} == {
        (0, 1),
        (0, 2),
        (0, 3),
    }


def test_states_of_every_round_can_be_read_again(tmp_path):
    config = config_of("flora")
    context = context_of(config, tmp_path, InProcess(Client(config, 0).handle))
    members = [seat for seat in context.seats if seat.role == "bank"]
    described = describe(context, "describe", members)
    warm_start(context, described)
    states = [load(context, r, groups_of(context, described))["all"] for r in (1, 2, 3)]

    assert all(isinstance(state.extra["fold"], LoraAdapter) for state in states)
