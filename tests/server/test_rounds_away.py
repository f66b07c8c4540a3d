"""Rounds that not everybody is in: what client and server believe of each other stays the same."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import CONTROL, FOLD, GONE, State
from fedlora.aggregation.fedavg import FedAvg
from fedlora.client import lessons
from fedlora.client.client import Client
from fedlora.client.memory import Memory
from fedlora.client.tuition import RESIDUAL, Tuition, begin
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InProcess
from fedlora.server import warm_start as warming
from fedlora.server.context import ServerContext
from fedlora.server.groups import Group, load
from fedlora.server.questions import BROADCAST
from tests.server.test_rounds import config_of, context_of, live

CHOSEN = {1: [0, 1], 2: [1, 2], 3: [0, 1, 3]}
"""Client 0 is away for a round, client 1 never, client 3 comes in the last, client 2 leaves."""
ROUNDS = {"rounds": 3, "clients_per_round": 3, "score": False, "train": {"batch_size": 2}}
SHORT: dict[str, Any] = {"splits": {"train": 8, "test": 4}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(warming, "_choose", lambda _context, _clients, round: CHOSEN[round])
    torch.set_num_threads(1)


class Lived:
    """A federation of four clients after its rounds.

    tuitions: what each began a round with, by client and round.
    trained: what came of it.
    arrived: what the server took it for.
    """

    def __init__(self, folder: Path, name: str, **changes: Any) -> None:
        sections = {"tasks": SHORT, "warm_start": ROUNDS, "lora": {"ranks": None}}
        config = config_of(name, **{**sections, **changes})
        self.context: ServerContext = context_of(
            config, folder, InProcess(Client(config, 0).handle)
        )
        self.tuitions: dict[tuple[int, int], Tuition] = {}
        self.trained: dict[tuple[int, int], LoraAdapter] = {}
        self.arrived: dict[tuple[int, int], LoraAdapter] = {}
        with self._watched():
            live(self.context)

    def state(self, round: int) -> State:
        states = load(self.context, round, [Group("all", (0, 1, 2, 3))])
        assert states is not None
        return states["all"]

    def kept(self, client: int, round: int) -> Mapping[str, LoraAdapter]:
        """What a client wrote down at the end of a round."""
        return Memory(self.context.run, client).recall(round)

    def last(self, client: int) -> int:
        """The last round that a client was in."""
        return max(round for round, chosen in CHOSEN.items() if client in chosen)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        answer, aggregate = Tuition.answer, FedAvg.aggregate

        def begun(place, message):
            tuition = begin(place, message)
            return self.tuitions.setdefault((place.desk.seat.client, tuition.round), tuition)

        def answered(tuition, trained):
            self.trained[tuition.place.desk.seat.client, tuition.round] = trained
            return answer(tuition, trained)

        def aggregated(method, before, sent, *others):
            round = before.round + 1
            if len(sent) == len(CHOSEN[round]):  # nobody was lost
                pairs = zip(CHOSEN[round], sent, strict=True)
                self.arrived |= {(client, round): adapter for client, adapter in pairs}
            return aggregate(method, before, sent, *others)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(lessons, "begin", begun)
            patched.setattr(Tuition, "answer", answered)
            patched.setattr(FedAvg, "aggregate", aggregated)
            yield


def product(name: str, *adapters: LoraAdapter | None) -> Tensor:
    """The sum of their DeltaW in one layer, dense, float64."""
    there = [adapter for adapter in adapters if adapter is not None]
    total = torch.zeros((), dtype=torch.float64)
    for adapter in there:
        layer = next(x for x in adapter.spec.layers if x.name == name)
        wide = adapter.up[name].double() @ adapter.down[name].double()
        total = total + adapter.spec.scaling(layer) * wide
    return total


@pytest.mark.parametrize("name", ["fedex", "flora", "rolora"])
def test_whoever_was_away_goes_on_from_what_the_server_has(name, tmp_path):
    lived = Lived(tmp_path, name)
    assert len(lived.tuitions) == sum(map(len, CHOSEN.values()))
    for (client, round), tuition in lived.tuitions.items():
        if round == 1:
            continue
        before = [lived.state(past) for past in range(1, round)]
        folds = [state.extra.get(FOLD) for state in before]
        common = before[-1].common
        assert (tuition.fold is None) == (name == "rolora")
        for layer in common.spec.layers:
            server = product(layer.name, common, *folds)
            own = product(layer.name, tuition.start, tuition.fold)
            assert (own - server).norm() < 1e-5 * server.norm(), (client, round)
        if name == "rolora":
            assert torch.equal(tuition.start.flatten(), common.flatten())


def test_whoever_missed_a_broadcast_has_it_bit_for_bit_as_the_others(tmp_path):
    codec = {"name": "delta", "inner": {"name": "int4"}}
    lived = Lived(tmp_path, "fedavg", codec=codec, codec_up={"name": "none"})
    broadcast = lived.state(3).extra[BROADCAST]
    starts = [lived.tuitions[client, 3].start for client in CHOSEN[3]]

    assert [start.digest() for start in starts] == [broadcast.digest()] * len(starts)
    assert not torch.equal(broadcast.flatten(), lived.state(2).common.flatten())


@pytest.mark.parametrize("outer", [None, "delta"])
def test_what_topk_left_out_arrives_later_or_is_still_owed(outer, tmp_path):
    topk = {"name": "topk", "fraction": 0.1, "inner": {"name": "int8"}}
    codec = {"name": outer, "inner": topk} if outer else topk
    head = {"head": True, "ranks": None}
    lived = Lived(tmp_path, "fedavg", codec_up=codec, lora=head)
    for client in range(4):
        rounds = [round for round, chosen in CHOSEN.items() if client in chosen]
        residual = lived.kept(client, rounds[-1])[RESIDUAL].flatten()
        owed = sum(lived.trained[client, round].flatten().double() for round in rounds)
        arrived = sum(lived.arrived[client, round].flatten().double() for round in rounds)

        # In the first round the server knows no head, so that all of it is owed.
        assert (arrived + residual - owed).norm() < 1e-5 * owed.norm()
        assert residual.norm() > 1e-3 * owed.norm()


@pytest.mark.parametrize("codec", ["int8", "topk"])
def test_the_servers_control_is_the_mean_of_those_that_clients_keep(codec, tmp_path):
    lived = Lived(tmp_path, "scaffold", codec={"name": "none"}, codec_up={"name": codec})
    kept = [lived.kept(client, lived.last(client))[CONTROL].flatten() for client in range(4)]
    mean = torch.stack(kept).double().mean(0)
    common = lived.state(3).extra[CONTROL].flatten()

    assert (common - mean).norm() < 1e-5 * mean.norm()
    for (_, round), tuition in lived.tuitions.items():
        if round > 1:
            server = lived.state(round - 1).extra[CONTROL].flatten()
            own = tuition.known[CONTROL].flatten() if tuition.known else torch.zeros_like(server)
            assert torch.equal(tuition.job().guide.correction.flatten(), server - own)


def unheard(client: int, round: int, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer does not count: screened out beside the others, refused by itself, or lost."""
    if how == "screened":
        verdicts = iter({client: "odd"} if at == round else {} for at in CHOSEN)
        monkeypatch.setattr(warming, "vet", lambda *_, **__: next(verdicts))
        return
    place = (warming._Gathered, "check") if how == "refused" else (Tuition, "answer")
    does = getattr(*place)

    def fails(one: Any, *others: Any) -> Any:
        result = does(one, *others)
        said = (others[0], one._asked[others[0]].message.meta["round"]) if how == "refused" else ()
        if (said or (one.place.desk.seat.client, one.round)) == (client, round):
            raise FedloraError("lost on its way")
        return result

    monkeypatch.setattr(*place, fails)


@pytest.mark.parametrize("how", ["screened", "refused", "lost"])
def test_a_client_whose_answer_did_not_count_goes_on_from_its_last_that_did(
    how, tmp_path, monkeypatch
):
    unheard(1, 2, how, monkeypatch)
    lived = Lived(tmp_path, "scaffold", codec={"name": "none"})
    kept = [lived.kept(client, lived.last(client))[CONTROL].flatten() for client in range(4)]
    mean = torch.stack(kept).double().mean(0)
    again = lived.tuitions[1, 3]

    assert [lost.client for lost in lived.context.journal.lost()] == [1]
    assert (lived.state(3).extra[CONTROL].flatten() - mean).norm() < 1e-5 * mean.norm()
    first = lived.kept(1, 1)[CONTROL].flatten()
    assert torch.equal(again.known[CONTROL].flatten(), first)
    assert not torch.equal(lived.kept(1, 2)[CONTROL].flatten(), first)


def test_a_client_that_lost_its_memory_fails_one_round_and_joins_anew(tmp_path, monkeypatch):
    keep = Memory.keep

    def keeps(memory: Memory, round: int, *others: Any) -> None:
        keep(memory, round, *others)
        if (memory._folder.name, round) == ("client-1", 1):
            memory._file(round).unlink()

    monkeypatch.setattr(Memory, "keep", keeps)
    lived = Lived(tmp_path, "fedsa")

    (lost,) = lived.context.journal.lost()
    assert (lost.client, lost.round, lost.reason.startswith(GONE)) == (1, 2, True)
    assert lived.tuitions[1, 3].since == 0
    assert 1 in lived.context.journal.answers("warm_start", 3)
