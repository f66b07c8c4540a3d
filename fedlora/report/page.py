"""One HTML page a run: everything in one file, nothing fetched, no script."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedlora.atomic import write_text
from fedlora.report import facts, figures, formats
from fedlora.report.methods import Needs
from fedlora.report.outcome import Line, lines
from fedlora.report.palette import PALETTE, variable
from fedlora.report.plots.by_task import ordered
from fedlora.report.run_folder import RunFolder, read
from fedlora.report.sentences import comparisons, headline
from fedlora.report.stream import pictures, words
from fedlora.report.stream.told import read_told
from fedlora.report.trial import choices


def build(run: Path) -> Path:
    """Write report/index.html of a run folder, whole or not at all, and say where it is.

    The same folder gives the same bytes. A run that is in progress or was interrupted gives a
    page that says so and shows what is there.

    Raises:
        FedloraError: the path is not a run folder, one of its files is not what a run writes,
            or the page cannot be written.
    """
    folder = read(run)
    page = folder.path / "report" / "index.html"
    write_text(page, render(folder))
    return page


def render(run: RunFolder) -> str:
    """The page as text. Every name in it is escaped: task names come from other people."""
    environment = Environment(
        loader=PackageLoader("fedlora.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimal": formats.decimal,
        "spread": formats.spread,
        "role": lambda name: variable(name if name in PALETTE else "other"),
    }
    context = _context(run) | (_of_stream(run) if words.is_stream(run) else {})
    return formats.legible(environment.get_template("index.html").render(context))


def _context(run: RunFolder) -> dict[str, Any]:
    found = lines(run)
    return {
        "run": run,
        "headline": headline(run, found),
        "comparisons": [*comparisons(run, found), *choices(run)],
        "notice": facts.notice(run),
        "tiles": facts.tiles(run, found),
        "groups": [
            (needs.value, group)
            for needs in Needs
            if (group := [line for line in found if line.method.needs == needs])
        ],
        "figures": figures.methods(run, found),
        "stream": [],
        "digits": formats.digits(run.results.unit),
        "sections": figures.sections(run, found),
        "tasks": _task_rows(run, found),
        "lines": found,
        "lost": facts.lost(run),
        "facts": facts.run_facts(run),
        "palette": [(variable(role), *shades) for role, shades in PALETTE.items()],
    }


def _of_stream(run: RunFolder) -> dict[str, Any]:
    """What a continual run shows in place of methods and newcomers."""
    return {
        "headline": words.headline(run),
        "stream": words.measures(run),
        "sections": pictures.sections(run, read_told(run)),
        "facts": [*words.singles(run), *words.budget(run), *facts.run_facts(run)],
    }


def _task_rows(run: RunFolder, found: list[Line]) -> list[tuple[str, list[float | None]]]:
    """Every unseen task with the mean of every method, in the order of the drawing."""
    names = ordered(found, higher_is_better=run.results.higher_is_better)
    return [(name, [line.tasks.get(name) for line in found]) for name in names]
