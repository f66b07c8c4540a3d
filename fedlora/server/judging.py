"""Phase six: the same newcomers score every method, and the server writes the table."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.evaluation.table import LOCAL_METHODS, rows
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.offering import Candidates
from fedlora.server.serving import value_of
from fedlora.wire.message import Message


def judge(
    context: ServerContext,
    candidates: Candidates,
    newcomers: list[Described],
    reached: Mapping[str, Mapping[int, float]],
) -> None:
    """Every method's value on every newcomer's test split; table.json beside the bank.

    Of a simulation under a backdoor it tells how often that has its way, too.

    reached: what newcomers reached by each further way to adopt, one more method of the table.
    """
    metric = context.profile.metric if context.profile else "accuracy"
    asked = {
        client: context.message("evaluation", "evaluate", adapters)
        for client, adapters in candidates.items()
    }

    def check(client: int, answer: Message) -> None:
        context.check_task(client, answer)
        scores = _values(answer, metric)
        if missing := sorted({"base", "local", *candidates[client]} - set(scores)):
            raise FedloraError(f"answer without a score for '{missing[0]}'")
        if unknown := sorted(set(scores) - {*LOCAL_METHODS, *candidates[client]}):
            raise FedloraError(f"answer with a score for the unknown method {unknown[0]!a:.40}")

    answers = context.asker.ask("evaluate", 0, asked, check) if asked else {}
    table = []
    for newcomer in newcomers:
        client = newcomer.seat.client
        if client in answers:
            values = _values(answers[client], metric)
            values |= {way: found[client] for way, found in reached.items() if client in found}
            own = rows(context.seed, newcomer.seat.task, client, values, metric != "nll")
            table += [asdict(row) for row in own]
    document: dict[str, object] = {"metric": metric, "rows": table}
    if context.config.attackers and (fooled := _fooled(answers, candidates)):
        document["fooled"] = fooled
    atomic.write_text(context.folder / "table.json", json.dumps(document, indent=1))


def _fooled(answers: Mapping[int, Message], candidates: Candidates) -> dict[str, float]:
    """By method, how often a backdoor has its way with newcomers; empty where nobody says so."""
    said: dict[str, list[float]] = {}
    for client, answer in answers.items():
        told = answer.meta.get("fooled")
        for method in candidates[client] if told else ():
            said.setdefault(method, []).append(value_of(told, method))
    return {method: fmean(rates) for method, rates in said.items()}


def _values(answer: Message, metric: str) -> dict[str, float]:
    raw = answer.meta.get("values")
    if not isinstance(raw, dict):
        raise FedloraError("answer lacks its values")
    return {str(method): value_of(scores, metric) for method, scores in raw.items()}
