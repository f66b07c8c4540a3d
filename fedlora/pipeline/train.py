"""Adapters for a list of tasks at a list of ranks, into one bank, with no server between."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora import seeding
from fedlora.adapter import LoraAdapter, peft_folder
from fedlora.aggregation.contract import Aggregator, Duty, State
from fedlora.bank import Bank, Record
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.errors import FedloraError
from fedlora.finetune.local import fresh
from fedlora.finetune.task_vector import task_vector
from fedlora.pipeline.workshop import Workshop
from fedlora.registry import nearest
from fedlora.roster import Seat
from fedlora.server.observer import Observer


@dataclass(frozen=True, eq=False)
class Bench:
    """One rank's wrapped base model, and the tasks that are trained on it."""

    client: Client
    seats: Sequence[Seat]

    def place(self, seat: Seat) -> Workplace:
        """Where the adapters of a seat are trained."""
        return self.client.place(seat.client)

    def groups(self, work: Sequence[tuple[Seat, int]]) -> Iterator[Sequence[tuple[Seat, int]]]:
        """As many at a time as `runtime.training` trains at once."""
        size = self.client.config.runtime.together
        return (work[at : at + size] for at in range(0, len(work), size))


def train_adapters(
    workshop: Workshop, ranks: Sequence[int], tasks: Sequence[str], observer: Observer
) -> Bank:
    """Fine-tune every task at every rank, and keep the last checkpoints in the workshop's bank.

    What the bank holds already is not trained again, so that a killed call goes on where it was.
    With `warm_start.rounds`, each rank first has its rounds of averaging over the same tasks.

    Args:
        workshop: the configuration; its finetune section says how, and how many checkpoints.
        ranks: such as (1, 2, 4, 8).
        tasks: names that the configuration's family knows; its bank's tasks when empty.
        observer: told of every adapter.

    Raises:
        FedloraError: no rank, an unknown task, missing data, a bank of another base model, or a
            section that only a federation can follow.
    """
    if not ranks or min(ranks) < 1:
        raise FedloraError(f"--ranks: {list(ranks)}: name ranks of at least 1, such as 1,2,4,8")
    if workshop.config.growth.rounds:
        raise FedloraError(
            "growth.rounds: adapters grow together in a federation alone; use fedlora run, or leave"
            " growth out"
        )
    if workshop.config.privacy is not None:
        raise FedloraError(
            "privacy: nothing leaves this machine here, so that nothing is protected; use fedlora"
            " run, or leave privacy out"
        )
    for rank in ranks:
        client = Client(workshop.config.with_rank(rank), workshop.seed)
        bench = Bench(client, _chosen(client.seats, tasks))
        start = warm_start(workshop, bench, rank, observer)
        _train_rank(workshop, bench, rank, start, observer)
    return workshop.bank()


def warm_start(
    workshop: Workshop, bench: Bench, rank: int, observer: Observer
) -> LoraAdapter | None:
    """The common adapter after `warm_start.rounds` of averaging over the bench's tasks.

    Every round is kept, start/rank-R/round-N, and a later call goes on after the last one.

    Returns:
        None where there are no rounds.
    """
    config = bench.client.config.warm_start
    if config.clients_per_round is not None:
        raise FedloraError(
            "warm_start.clients_per_round: without a federation every task takes part; leave it out"
        )
    aggregator: Aggregator = config.aggregation.build()
    if aggregator.duty(1) != Duty():
        raise FedloraError(
            f"warm_start.aggregation: '{config.aggregation.name}' needs a federation whose clients"
            " answer it; without one choose fedavg, flexlora or product"
        )
    common: LoraAdapter | None = None
    observer.phase(f"warm start, rank {rank}", config.rounds)
    for number in range(1, config.rounds + 1):
        folder = workshop.folder / "start" / f"rank-{rank}" / f"round-{number}"
        base = bench.client.slot.base
        if folder.is_dir():
            common = peft_folder.load(folder, base.digest)
        else:
            common = _round(bench, aggregator, common, number)
            facts = f"The common start of {len(bench.seats)} tasks, round {number}."
            peft_folder.save(common, folder, base.reference, base.task_type, facts)
        observer.advance()
    return common


def _round(
    bench: Bench, aggregator: Aggregator, common: LoraAdapter | None, number: int
) -> LoraAdapter:
    settings = bench.client.config.warm_start.train
    trained, weights = [], []
    for group in bench.groups([(seat, 0) for seat in bench.seats]):
        places = [bench.place(seat) for seat, _ in group]
        jobs = [
            place.job(_start(place, common, 0), settings, place.purpose("warm_start", number))
            for place in places
        ]
        trained += [done.result().adapters[-1] for done in bench.client.trainer.train(jobs)]
        weights += [float(job.examples) for job in jobs]
    before = State(number - 1, trained[0] if common is None else common, len(trained))
    after = aggregator.aggregate(before, trained, weights)
    return aggregator.give(after, trained[0].spec)


def _train_rank(
    workshop: Workshop, bench: Bench, rank: int, start: LoraAdapter | None, observer: Observer
) -> None:
    settings = bench.client.config.finetune
    work = [(seat, repeat) for seat in bench.seats for repeat in range(settings.repeats)]
    done = _done(workshop.folder / "bank", rank)
    waiting = [one for one in work if _last(one, settings.checkpoints) not in done]
    observer.phase(f"adapters, rank {rank}", len(work))
    observer.advance(len(work) - len(waiting))
    for group in bench.groups(waiting):
        places = [bench.place(seat) for seat, _ in group]
        jobs = [
            place.job(
                _start(place, start, repeat),
                settings,
                place.purpose("finetune", repeat),
                settings.checkpoints,
            )
            for place, (_, repeat) in zip(places, group, strict=True)
        ]
        results = bench.client.trainer.train(jobs)
        for place, (_, repeat), result in zip(places, group, results, strict=True):
            _keep(workshop, place, repeat, result.result().adapters)
            observer.advance()


def _keep(
    workshop: Workshop, place: Workplace, repeat: int, adapters: Sequence[LoraAdapter]
) -> None:
    """The checkpoints in their order, so that the last one says that all are there."""
    desk, config = place.desk, place.config
    vector = task_vector(desk.objective, desk.train, config.task_vector)
    bank = Bank.open(workshop.folder / "bank", place.spec(), create=True)
    first = (repeat + 1) * config.finetune.checkpoints - len(adapters)
    for sample, adapter in enumerate(adapters, first):
        metrics = score(desk.objective, adapter, desk.validation)
        seat, rank = desk.seat, config.lora.rank
        record = Record(seat.task, seat.client, 0, sample, rank, place.seed, metrics)
        bank.add(record, adapter, vector)


def _start(place: Workplace, common: LoraAdapter | None, repeat: int) -> LoraAdapter:
    """The common start, or a first adapter: of the run, or each repeat's own."""
    if common is not None:
        return common
    if place.config.finetune.init == "independent":
        return fresh(place.desk.objective, place.purpose("start", repeat))
    return fresh(place.desk.objective, seeding.derive(place.seed, "start"))


def _chosen(seats: Sequence[Seat], tasks: Sequence[str]) -> list[Seat]:
    """The seats of these tasks, or the bank's."""
    known = {seat.task for seat in seats}
    for task in tasks:
        if task not in known:
            raise FedloraError(f"--task: no task '{task}'; {nearest(task, sorted(known))}")
    return [s for s in seats if (s.task in tasks if tasks else s.role == "bank")]


def _done(folder: Path, rank: int) -> set[tuple[str, int, int]]:
    """Task, client and sample of every adapter of a rank that a bank holds."""
    if not (folder / "index.sqlite").exists():
        return set()
    records = Bank.open(folder).records()
    return {(r.task, r.client, r.sample) for r in records if r.rank == rank}


def _last(work: tuple[Seat, int], checkpoints: int) -> tuple[str, int, int]:
    seat, repeat = work
    return seat.task, seat.client, (repeat + 1) * checkpoints - 1
