"""What generators learn from where a few of the bank's clients may lie."""

from functools import partial
from typing import Any

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.generators.bank import rows_of
from fedlora.generators.contract import TrainingBank
from fedlora.generators.trimming import capped, left_out_losses, worst
from fedlora.server.context import ServerContext
from fedlora.server.learning import fit
from fedlora.server.verdicts import decided

PHASE = "trimming"


def hardened(context: ServerContext, bank: TrainingBank, start: LoraAdapter | None) -> TrainingBank:
    """The bank as `learning` lets the generators see it; what lies on the disk is not touched.

    Which samples are left out is written down, with the reason, before anything is learned.

    start: what its adapters were trained from; None where that is not one adapter.
    """
    config = context.config.learning
    seen = capped(bank, start, config.cap) if config.cap else bank
    if not config.trim:
        return seen

    def judge() -> dict[int, str]:
        losses = left_out_losses(seen, partial(_foretell, context), config.folds)
        return {
            at: f"foretold with a loss of {losses[at]:.4g}, half of all with"
            f" {losses.quantile(0.5):.4g} at most"
            for at in worst(losses, config.trim)
        }

    reasons = decided(context.journal, PHASE, 0, judge)
    for number, (at, reason) in enumerate(reasons.items()):
        told: dict[str, Any] = {"task": bank.tasks[at], "sample": at, "reason": reason}
        if bank.clients:
            told["client"] = bank.clients[at]
        context.journal.add_metrics(PHASE, number, told)
    return rows_of(seen, [at for at in range(len(seen.adapters)) if at not in reasons])


def _foretell(context: ServerContext, bank: TrainingBank, conditions: Tensor) -> list[LoraAdapter]:
    """What the run's generator makes of a part of the bank."""
    generator = fit(context, context.config.generator, bank, place=PHASE)
    seed = seeding.derive(context.seed, PHASE)
    return generator.sample(context.seen_by(generator, conditions), seed=seed)
