"""Generated against trained weights of the bank's own tasks."""

from collections.abc import Sequence

from markupsafe import Markup

from fedlora.report.plots.pairs import pairs
from fedlora.report.run_folder import Record
from fedlora.report.series import finite


def distances(records: Sequence[Record]) -> Markup | None:
    """Below the diagonal, a generated adapter is nearer to its task's than any other task's is."""
    found = _pairs(records, "nearest", "distance")
    if not found:
        return None
    below = sum(y < x for _, x, y in found)
    alt = f"The generated adapter is nearer than any other task's in {below} of {len(found)} tasks"
    return pairs(
        found,
        "distance of the nearest other task's adapter",
        "distance of the generated adapter",
        alt,
    )


def norms(records: Sequence[Record]) -> Markup | None:
    """On the diagonal, a generated adapter is as strong as the trained one."""
    found = _pairs(records, "norm_trained", "norm_generated")
    if not found:
        return None
    shares = sorted(y / x for _, x, y in found if x > 0)
    middle = f"{shares[len(shares) // 2]:.2f}" if shares else "unknown"
    alt = f"Norm of generated adapters, as a share of the trained ones': median {middle}"
    return pairs(found, "norm of the trained update", "norm of the generated update", alt)


def nearer(records: Sequence[Record]) -> tuple[int, int]:
    """Tasks whose generated adapter is nearer than any other task's, of how many."""
    found = _pairs(records, "nearest", "distance")
    return sum(y < x for _, x, y in found), len(found)


def _pairs(records: Sequence[Record], x: str, y: str) -> list[tuple[str, float, float]]:
    found = []
    for record in records:
        pair = finite(record.get(x)), finite(record.get(y))
        if pair[0] is not None and pair[1] is not None:
            found.append((str(record.get("task", "")), pair[0], pair[1]))
    return found
