"""The story of a continual run as the server lives it: describe, then step after step."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from fedlora import atomic, seeding
from fedlora.adapter import LoraAdapter
from fedlora.backbone import open_slot
from fedlora.config import ContinualConfig, RunConfig
from fedlora.continual.contract import Method, Step
from fedlora.continual.contract import describe as named
from fedlora.continual.keeper import Keeper
from fedlora.continual.schedule import schedule
from fedlora.server.asking import Asker
from fedlora.server.context import ENVELOPE_BYTES
from fedlora.server.export import export
from fedlora.server.journal import Journal
from fedlora.server.observer import Observer
from fedlora.server.stream.context import Plan, StreamContext
from fedlora.server.stream.describing import describe
from fedlora.server.stream.foretelling import Foreteller
from fedlora.server.stream.judging import Judged, judge
from fedlora.server.stream.keeping import Keepsakes
from fedlora.server.stream.learning import train
from fedlora.server.stream.looking import Found, look
from fedlora.wire.exchange import Transport


def federate_stream(
    config: RunConfig,
    continual: ContinualConfig,
    seed: int,
    transport: Transport,
    folder: Path,
    observer: Observer,
) -> None:
    """Live one seed of a continual run.

    All that happens follows from the answers, and those are kept in the folder: a run that was
    killed in the middle of the stream ends as if it had not been.

    Raises:
        FedloraError: too few clients answer, or a method finds no place for a task.
    """
    torch.set_num_threads(config.runtime.threads)
    journal = Journal(folder / "checkpoints" / "journal.sqlite")
    context = _context(config, continual, seed, transport, folder, observer, journal)
    try:
        steps, fingerprint = _live(context)
    finally:
        journal.keep_time()
        export(journal, folder)
        journal.close()
    atomic.write_text(folder / "stream.json", json.dumps(steps, indent=1))
    facts = {
        "adapter_values": context.spec.size,
        "fingerprint": fingerprint,
    }
    atomic.write_text(folder / "facts.json", json.dumps(facts, indent=1))


def _context(
    config: RunConfig,
    continual: ContinualConfig,
    seed: int,
    transport: Transport,
    folder: Path,
    observer: Observer,
    journal: Journal,
) -> StreamContext:
    spec = open_slot(config.backbone, config.lora, config.runtime.device).spec
    asker = Asker(transport, journal, config.rounds, observer, ENVELOPE_BYTES, config.retries)
    codec = config.codec.build()
    return StreamContext(config, continual, seed, folder, spec, codec, journal, asker, observer)


def _live(context: StreamContext) -> tuple[Mapping[str, object], dict[str, str]]:
    plan = describe(context)
    context.asker.limit = _limit(context, plan)
    method: Method = context.continual.method.build()
    keeper = Keeper(
        method, context.spec, [len(names) for names in plan.classes], plan.width, context.seed
    )
    keepsakes, foreteller = Keepsakes(context, plan), Foreteller(context, plan)
    steps = _steps(context, plan)
    met: dict[int, set[int]] = {client: set() for client in plan.examples}
    record: list[dict[str, object]] = []
    for number, workers in enumerate(steps):
        step = Step(number, len(steps), _what(plan, number, workers), context.seed)
        tasks = sorted(set(workers.values()))
        branch, line = _step(context, keeper, foreteller, step, workers, met)
        record.append({"tasks": tasks, **line})
        keepsakes.add(number, branch, keeper, tasks)
        foreteller.learn(branch, tasks)
        context.journal.add_metrics("stream", number, _plain(record[-1], number))
        for client, task in workers.items():
            met[client].add(task)
    digest = keepsakes.finish(keeper)
    told = {"tasks": plan.tasks, "classes": plan.classes, "steps": record}
    return told, {"adapters": digest, "stream": _digest(record)}


def _step(
    context: StreamContext,
    keeper: Keeper,
    foreteller: Foreteller,
    step: Step,
    workers: Mapping[int, int],
    met: Mapping[int, set[int]],
) -> tuple[LoraAdapter, dict[str, object]]:
    """Look, design, foretell, train, look again, keep, judge."""
    method = keeper.method
    before = look(
        context,
        keeper,
        step.index,
        workers,
        keeper.frozen,
        inputs=method.designs,
        features=False,
        before=True,
    )
    designed = keeper.begin(step, before.moments)
    start = foreteller.start(designed, step.index, sorted(set(workers.values())))
    covered = {client: keeper.covered(met[client], task) for client, task in workers.items()}
    branch = train(context, keeper, step.index, workers, covered, start)
    after = Found({}, {}, 0.0, None)
    if keeper.surveys:
        after = look(
            context,
            keeper,
            step.index,
            workers,
            keeper.with_branch(branch),
            inputs=method.remembers,
            features=method.config.align is not None,
            before=False,
        )
    leaked = keeper.end(step, branch, after.moments, after.classes)
    judged = judge(context, keeper, step.index)
    return branch, _line(keeper, before, after, leaked, judged)


def _line(
    keeper: Keeper, before: Found, after: Found, leaked: float | None, judged: Judged
) -> dict[str, object]:
    """What is told of a step."""
    return {
        **asdict(judged),
        "leak": leaked,
        "memory": {name: memory.size for name, memory in keeper.state.memories.items()},
        "width": {name: memory.width for name, memory in keeper.state.memories.items()},
        "sketch_lost": max(before.lost, after.lost),
        "transfer": before.transfer,
    }


def _steps(context: StreamContext, plan: Plan) -> list[dict[int, int]]:
    """The schedule, without clients that have no examples of their task."""
    continual = context.continual
    seed = seeding.derive(context.seed, "schedule")
    drawn = schedule(len(plan.tasks), len(context.clients), continual.order, continual.pace, seed)
    able = [
        {
            client: task
            for client, task in step.items()
            if client in plan.examples and plan.examples[client][task]
        }
        for step in drawn
    ]
    return [step for step in able if step]


def _what(plan: Plan, number: int, workers: Mapping[int, int]) -> str:
    tasks = sorted(set(workers.values()))
    every = " and ".join(named(task, plan.tasks[task]) for task in tasks)
    return every if len(tasks) == 1 else f"step {number + 1}, {every}"


def _limit(context: StreamContext, plan: Plan) -> int:
    """Bytes of the largest answer: an adapter with every head, or all statistics of a task."""
    classes = sum(len(names) for names in plan.classes)
    inputs = sum(layer.d_in**2 for layer in context.spec.layers)
    features = max(len(names) for names in plan.classes) * (plan.width + 1) ** 2
    adapter = context.spec.size + classes * (plan.width + 1)
    return ENVELOPE_BYTES + 8 * adapter + 4 * (inputs + features)


def _plain(line: Mapping[str, object], number: int) -> dict[str, object]:
    """A step's line of the metrics: curves over steps."""
    found: dict[str, object] = {"round": number + 1, "leak": line["leak"]}
    for key in ("within", "among"):
        rates = line[key]
        assert isinstance(rates, dict)
        known = [rate for rate in rates["test"] if rate is not None]
        found[f"accuracy_{key}"] = sum(known) / len(known)
    return found


def _digest(record: list[dict[str, object]]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
