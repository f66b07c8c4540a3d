"""Phase six: the same newcomers score every method, and the server writes the table."""

import json
from dataclasses import asdict

from fedlora import atomic
from fedlora.errors import FedloraError
from fedlora.evaluation.table import Row, rows
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.serving import Candidates
from fedlora.wire.message import Message


def judge(context: ServerContext, candidates: Candidates, newcomers: list[Described]) -> list[Row]:
    """Every method's value on every newcomer's test split; table.json beside the bank."""
    metric = newcomers[0].metric
    asked = {
        client: context.message("evaluation", "evaluate", adapters)
        for client, adapters in candidates.items()
    }

    def check(client: int, answer: Message) -> None:
        if answer.meta.get("metric") != metric:
            raise FedloraError(f"answer judged by {answer.meta.get('metric')!a:.40}, not {metric}")
        scores = _values(answer, metric)
        if missing := sorted({"base", "local", *candidates[client]} - set(scores)):
            raise FedloraError(f"answer without a score for '{missing[0]}'")

    answers = context.asker.ask("evaluate", 0, asked, check)
    table = [
        row
        for newcomer in newcomers
        if newcomer.seat.client in answers
        for row in rows(
            context.seed,
            newcomer.seat.task,
            newcomer.seat.client,
            _values(answers[newcomer.seat.client], metric),
            higher_is_better=metric == "accuracy",
        )
    ]
    document = {"metric": metric, "rows": [asdict(row) for row in table]}
    atomic.write_text(context.folder / "table.json", json.dumps(document, indent=1))
    return table


def _values(answer: Message, metric: str) -> dict[str, float]:
    """Method -> score, in the order of the report: the client's own methods around the server's."""
    raw = answer.meta.get("values")
    if not isinstance(raw, dict):
        raise FedloraError("answer lacks its values")
    values: dict[str, float] = {}
    for method, scores in raw.items():
        value = scores.get(metric) if isinstance(scores, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise FedloraError(f"answer lacks the {metric} of '{method}'")
        values[str(method)] = float(value)
    return values
