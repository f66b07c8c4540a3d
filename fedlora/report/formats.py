"""Numbers as a person reads them."""

import re

from fedlora.report.results import Interval

NONE = "–"
_BYTES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def decimal(value: float | None, digits: int) -> str:
    """With a true minus sign, none before zero; a dash for no value."""
    return NONE if value is None else f"{value:z.{digits}f}".replace("-", "−")


def spread(found: Interval, digits: int) -> str:
    """[low, high], empty where there is no interval."""
    if found.low is None or found.high is None or found.n == 1:
        return ""
    return f"[{decimal(found.low, digits)}, {decimal(found.high, digits)}]"


def measured(found: Interval, digits: int) -> str:
    """Mean [low, high]."""
    return f"{decimal(found.mean, digits)} {spread(found, digits)}".strip()


def digits(metric: str) -> int:
    """Decimals that a metric deserves."""
    return 2 if metric == "perplexity" else 3


def size(count: float | None) -> str:
    """Bytes in decimal units: 1 MB is 1,000,000 bytes."""
    if count is None:
        return NONE
    for unit, factor in _BYTES:
        if count >= factor:
            return f"{_three_digits(count / factor)} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    """12 s, 4 min 05 s, 2 h 03 min."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def times(factor: float) -> str:
    """How many times as much: 1.4, 12, 340."""
    return f"{factor:.1f}" if factor < 10 else f"{factor:,.0f}"


def printable(text: str, limit: int = 400) -> str:
    """A name as one line without control characters; a long one keeps its start and its end."""
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def legible(text: str) -> str:
    """Text without the control characters and lone surrogates that XML and UTF-8 cannot hold."""
    return re.sub("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


def _three_digits(value: float) -> str:
    """1.23, 12.3, 123, 1,234."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
