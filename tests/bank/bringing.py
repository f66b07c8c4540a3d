"""Adapters from outside, into a bank, without anybody judging them."""

from collections.abc import Sequence

from fedlora.bank import Arrival, Bank


def bring(bank: Bank, arrivals: Sequence[Arrival]) -> list[str]:
    """The digests of what came."""
    return [bank.add(one.record, one.read(), one.vector) for one in arrivals]
