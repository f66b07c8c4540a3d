"""Growth in rounds, against the recurrence that it is said to follow, computed densely."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.hypernetwork import Hypernetwork
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.federation import open_context
from fedlora.server.growing import grow, starts
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply, Request, answer
from fedlora.wire.message import Message, decode, encode
from tests.conftest import killed_at, small_config
from tests.server.test_federation import live


class Scripted:
    """Clients that answer with an adapter drawn from their number and the round.

    lost: (client, round) that give no answer. received, sent: adapters by client and round.
    """

    def __init__(self, config: RunConfig, lost: tuple[tuple[int, int], ...] = ()) -> None:
        self.config, self.lost = config, lost
        self.context: ServerContext | None = None
        self.received: dict[tuple[int, int], LoraAdapter] = {}
        self.sent: dict[tuple[int, int], LoraAdapter] = {}

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        for request in requests:
            yield answer(self._handle, request)

    def _handle(self, client: int, frame: bytes) -> bytes:
        assert self.context is not None
        message, codec = decode(frame, 1 << 30), self.context.codec
        place = (client, int(message.meta["round"]))
        if place in self.lost:
            raise FedloraError("gone")
        spec = self.context.spec
        self.received[place] = codec.decode(message.tensors["adapter.start"], spec)
        self.sent[place] = drawn(self.context, *place)
        task = self.context.seats[client].task
        meta = {"task": task, "examples": 10}
        return encode(Message("train", {"adapter.trained": codec.encode(self.sent[place])}, meta))


def drawn(context: ServerContext, *purpose: int) -> LoraAdapter:
    noise = seeding.generator(0, *purpose)
    return LoraAdapter.from_flat(context.spec, torch.randn(context.spec.size, generator=noise) / 9)


def grown(
    folder: Path,
    lost: tuple[tuple[int, int], ...] = (),
    screening: dict[str, object] | None = None,
    codec: str = "none",
    **growth: object,
):
    config = small_config(
        growth={"rounds": 2} | growth, screening=screening or {}, codec={"name": codec}
    )
    transport = Scripted(config, lost)
    journal = Journal(folder / "journal.sqlite")
    context = open_context(config, 0, transport, folder, Silent(), journal)
    transport.context = context
    vectors = torch.randn(6, 5, generator=seeding.generator(0, "vectors"))
    members = [
        Described(seat, {seat.client: Message("task_vector", {"vector": vectors[seat.client]})})
        for seat in context.seats
        if seat.role == "bank"
    ]
    warm = drawn(context, 99)
    found = grow(context, warm, members)
    assert found is not None
    assert found.bank.clients == [member.seat.client for member in members]
    return context, transport, members, warm, found.generator


def dense(adapter: LoraAdapter) -> Tensor:
    return torch.stack([adapter.delta(layer.name).double() for layer in adapter.spec.layers])


@pytest.mark.parametrize("codec", ["none", "int8"])
@pytest.mark.parametrize("lost", [(), ((1, 2),)])
def test_what_is_generated_is_the_weighted_sum_of_what_came_back(tmp_path, lost, codec):
    context, transport, members, warm, generator = grown(tmp_path, lost, codec=codec)
    came = {place: context.codec.as_received(one) for place, one in transport.sent.items()}
    sums = []
    for member in members:
        total = dense(warm)
        for number in (1, 2):
            place = (member.seat.client, number)
            if place not in lost:
                total = total + dense(came[place]) - dense(transport.received[place])
        sums.append(total)
    asked = torch.stack([member.vector for member in members])[:2] * 0.9
    # The generator's tasks stand in the order of their names.
    order = sorted(range(6), key=lambda place: members[place].seat.task)
    weights = generator.weigh(generator.view(asked))
    for row, made in zip(weights, generator.sample(asked, seed=0, rank=32), strict=True):
        expected = sum(w * sums[place] for w, place in zip(row, order, strict=True))
        assert torch.allclose(dense(made), expected, atol=1e-4)


def test_the_first_round_begins_at_the_warm_start(tmp_path):
    _, transport, members, warm, _ = grown(tmp_path)
    for member in members:
        received = transport.received[member.seat.client, 1]
        assert torch.allclose(dense(received), dense(warm), atol=1e-5)


def test_with_equal_weights_it_is_federated_averaging(tmp_path):
    context, transport, members, _, generator = grown(
        tmp_path, rounds=1, generator={"name": "mean"}
    )
    trained = [dense(transport.sent[member.seat.client, 1]) for member in members]
    made = generator.sample(torch.zeros(1, 5), seed=0, rank=32)[0]
    assert torch.allclose(dense(made), torch.stack(trained).mean(0), atol=1e-4)
    own = starts(context, generator, members)
    assert len({adapter.digest() for adapter in own.values()}) == 1
    assert own[0].spec == context.spec


def test_who_stands_out_in_a_round_changes_nothing(tmp_path, monkeypatch):
    def loud(context: ServerContext, *purpose: int) -> LoraAdapter:
        made = quiet(context, *purpose)
        return LoraAdapter.from_flat(made.spec, made.flatten() * (20 if purpose == (1, 1) else 1))

    quiet = drawn
    monkeypatch.setattr("tests.server.test_growing.drawn", loud)
    options = {"screening": {"least": 4}}
    *_, without = grown(tmp_path / "without", lost=((1, 1),), **options)
    context, *_, kept_out = grown(tmp_path / "out", **options)
    *_, unscreened = grown(tmp_path / "in")
    asked = torch.zeros(1, 5)
    made = [g.sample(asked, seed=0)[0].digest() for g in (without, kept_out, unscreened)]
    assert made[0] == made[1] != made[2]
    (lost,) = context.journal.lost()
    assert (lost.client, lost.round) == (1, 1)
    assert "norm of its change" in lost.reason


def test_a_generator_that_learns_from_no_change_cannot_grow(tmp_path):
    with pytest.raises(FedloraError, match=r"growth.generator: 'cvae' neither combines"):
        grown(tmp_path, generator={"name": "cvae"})


HYPERNETWORK = {"name": "hypernetwork", "hidden": 8, "condition_components": 2}


@pytest.mark.parametrize("lost", [(), ((1, 2),)])
def test_a_network_is_taught_by_what_each_round_changed(tmp_path, lost):
    context, transport, members, warm, generator = grown(tmp_path, lost, generator=HYPERNETWORK)
    clients = [member.seat.client for member in members]
    vectors = torch.stack([member.vector for member in members])
    again = context.config.growth.generator.build()
    again.begin(warm, vectors, seed=seeding.derive(0, "growth"))
    for number in (1, 2):
        made = again.sample(vectors, seed=0)
        for client, adapter in zip(clients, made, strict=True):
            if (client, number) not in lost:
                assert transport.received[client, number].digest() == adapter.digest()
        rows = [row for row, client in enumerate(clients) if (client, number) not in lost]
        came = [transport.sent[clients[row], number] for row in rows]
        again.step(vectors[rows], [made[row] for row in rows], came)
    for one, two in zip(
        generator.sample(vectors, seed=0), again.sample(vectors, seed=0), strict=True
    ):
        assert one.digest() == two.digest()
    moved = generator.sample(vectors, seed=0)[1]
    assert moved.digest() != warm.digest()


def test_what_each_client_returned_last_is_what_the_network_leaves_for_the_trial(tmp_path):
    lost = ((1, 2), (2, 1), (2, 2))
    context, transport, members, warm, _ = grown(tmp_path, lost, generator=HYPERNETWORK)
    found = grow(context, warm, members)
    assert found is not None
    last = {1: transport.sent[1, 1], 2: warm}
    for client, adapter in zip(found.bank.clients or (), found.bank.adapters, strict=True):
        expected = last.get(client) or transport.sent[client, 2]
        assert adapter.digest() == expected.digest()


def test_a_network_that_was_interrupted_goes_on_to_the_same_numbers(tmp_path):
    def lived(folder: Path) -> tuple[list[str], int]:
        _, transport, members, _, generator = grown(folder, generator=HYPERNETWORK, rounds=3)
        made = generator.sample(torch.stack([m.vector for m in members]), seed=0)
        return [adapter.digest() for adapter in made], len(transport.received)

    whole, asked = lived(tmp_path / "whole")
    with killed_at(Hypernetwork, "step"):
        lived(tmp_path / "killed")
    again, asked_again = lived(tmp_path / "killed")
    assert again == whole
    assert (asked, asked_again) == (18, 12)


def test_factors_that_a_codec_does_not_keep_teach_no_network(tmp_path):
    with pytest.raises(FedloraError, match=r"growth.generator: 'hypernetwork' .* lowrank"):
        grown(tmp_path, codec="lowrank", generator=HYPERNETWORK)


def test_without_a_warm_start_there_is_nothing_to_grow_from():
    with pytest.raises(FedloraError, match=r"needs warm_start\.rounds"):
        small_config(growth={"rounds": 1}, warm_start={"rounds": 0})


@pytest.mark.parametrize("name", ["kriging", "hypernetwork"])
def test_a_run_that_grows_repeats_itself_and_has_a_row(tmp_path, name):
    config = small_config(
        growth={"rounds": 1, "generator": {"name": name}},
        adoption={"policy": {"name": "given", "method": "grown"}},
    )
    once = live(config, tmp_path / "once")
    table = json.loads((tmp_path / "once" / "table.json").read_text())
    assert "grown" in {row["method"] for row in table["rows"]}
    assert live(config, tmp_path / "twice") == once
