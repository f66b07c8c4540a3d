"""A continual run in one sentence and one table."""

from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedlora.report.formats import decimal, spread
from fedlora.report.results import Interval
from fedlora.report.run_folder import RunFolder
from fedlora.report.sentences import Headline

PLACES = 3


@dataclass(frozen=True)
class Measure:
    """One line of the table: what was measured, the task known and not known."""

    label: str
    about: str
    within: Interval
    among: Interval


LABELS = {
    "final": ("Final accuracy", "over all tasks after the last step"),
    "averaged": ("Averaged accuracy", "the mean over steps, of the tasks met by then"),
    "forgetting": ("Forgetting", "how far tasks fell from their best"),
    "backward": ("Backward transfer", "the end against right after learning"),
}
SINGLE = {
    "forward_transfer": "nearest class means before learning, beyond the base model's",
    "leak": "largest share of an update that old inputs feel",
    "memory": "share of the input space that old tasks take at the end",
    "sketch_lost": "largest share of statistics that a sketch left out",
}


def is_stream(run: RunFolder) -> bool:
    """Whether the run was configured as a continual one."""
    return run.config.get("continual") is not None


def method_of(run: RunFolder) -> str:
    """The method's name as the configuration has it."""
    section = run.config.get("continual")
    part = section.get("method") if isinstance(section, dict) else None
    return str(part.get("name")) if isinstance(part, dict) else "the method"


def measures(run: RunFolder) -> list[Measure]:
    """The lines that were measured; empty until a seed is finished."""
    found = run.results.stream.get("test", {})
    return [
        Measure(label, about, found[f"within_{key}"], found[f"among_{key}"])
        for key, (label, about) in LABELS.items()
        if f"within_{key}" in found and f"among_{key}" in found
    ]


def singles(run: RunFolder) -> list[tuple[str, str]]:
    """Further numbers of the run, each with what it means."""
    found = run.results.stream.get("test", {})
    return [
        (about.capitalize(), f"{found[key].mean:.3g} {_between(found[key])}".strip())
        for key, about in SINGLE.items()
        if key in found
    ]


def budget(run: RunFolder) -> list[tuple[str, str]]:
    """What noise on the statistics promises, where there is some."""
    section = run.config.get("continual")
    noise = section.get("noise") if isinstance(section, dict) else None
    if not isinstance(noise, dict):
        return []
    told = ", ".join(f"{key} {noise[key]:g}" for key in ("epsilon", "delta") if key in noise)
    return [("Privacy of the statistics, over the whole run", told)]


def _between(found: Interval) -> str:
    """As `spread`, for numbers of any size."""
    return f"[{found.low:.3g}, {found.high:.3g}]" if spread(found, PLACES) else ""


def headline(run: RunFolder) -> Headline:
    """How much of the stream is known at its end."""
    found = measures(run)
    if not found:
        return Headline("No stream has been finished yet")
    final = found[0]
    return Headline(
        f"{method_of(run)} ends at",
        decimal(final.within.mean, PLACES),
        spread(final.within, PLACES),
        f"accuracy with the task known, {decimal(final.among.mean, PLACES)} without",
    )


def table(run: RunFolder) -> Table:
    """The measures of the run, for the terminal."""
    out = Table(
        title=escape(str(headline(run))),
        caption="\n".join(
            f"{escape(name)}: {value}" for name, value in (*singles(run), *budget(run))
        ),
        caption_justify="left",
        title_justify="left",
    )
    out.add_column("measure")
    for column in ("task known", "95% interval", "task not known", "95% interval"):
        out.add_column(column, justify="right")
    for measure in measures(run):
        cells = [
            text
            for found in (measure.within, measure.among)
            for text in (decimal(found.mean, PLACES), spread(found, PLACES))
        ]
        out.add_row(measure.label, *cells)
    return out


def as_json(run: RunFolder) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "run": str(run.path),
        "finished": run.results.finished,
        "kind": "stream",
        "headline": str(headline(run)),
        "stream": {
            split: {name: value.model_dump() for name, value in found.items()}
            for split, found in run.results.stream.items()
        },
    }
