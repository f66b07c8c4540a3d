"""The result in words: one sentence at the top, and the comparisons that keep it honest."""

from dataclasses import dataclass

from fedlora.report import intervals
from fedlora.report.formats import decimal, digits, measured, spread
from fedlora.report.outcome import Line, line, strongest_rival
from fedlora.report.results import Interval
from fedlora.report.run_folder import RunFolder


@dataclass(frozen=True)
class Headline:
    """A sentence around its number, so that the page can set the number apart."""

    before: str
    number: str = ""
    interval: str = ""
    after: str = ""

    def __str__(self) -> str:
        parts = (self.before, self.number, self.interval, self.after)
        return " ".join(part for part in parts if part)


def headline(run: RunFolder, lines: list[Line]) -> Headline:
    """The one sentence; of an unfinished run it says no more than what is there."""
    generated = line(lines, "generated")
    if generated is None or generated.value.mean is None:
        return Headline("No generated adapter has been evaluated yet")
    start = "Generated adapters" if run.results.finished else "So far, generated adapters"
    tasks, gap = _tasks(len(generated.tasks)), generated.gap
    if gap.mean is None:
        number = decimal(generated.value.mean, digits(run.results.unit))
        interval = spread(generated.value, digits(run.results.unit))
        return Headline(f"{start} reach", number, interval, f"{run.results.unit} {tasks}")
    clear = {
        row.task for row in run.results.rows if row.method == "generated" and row.gap is not None
    }
    if len(clear) < len(generated.tasks):
        tasks = f"on {len(clear)} of {len(generated.tasks)} unseen tasks; the others have no gap"
    if gap.mean < 0:
        worse = Interval(
            mean=-gap.mean,
            low=None if gap.high is None else -gap.high,
            high=None if gap.low is None else -gap.low,
        )
        number, interval = decimal(worse.mean, 2), spread(worse, 2)
        return Headline(f"{start} fall behind the base by", number, interval, f"gaps {tasks}")
    return Headline(f"{start} close", decimal(gap.mean, 2), spread(gap, 2), f"of the gap {tasks}")


def comparisons(run: RunFolder, lines: list[Line]) -> list[str]:
    """Against the strongest rival that needs no training either, and the shuffled conditions."""
    generated = line(lines, "generated")
    if generated is None or generated.value.mean is None:
        return []
    rival = strongest_rival(run, lines)
    said = [_rival(run, rival)] if rival else []
    if line(lines, "shuffled"):
        said += _shuffled(run)
    return said


def _rival(run: RunFolder, rival: Line) -> str:
    """Who is ahead, by how much, task by task."""
    ahead = intervals.advantage(run.results, "generated", rival.method.name)
    name, metric = rival.method.label, run.results.unit
    chance = "" if _clear(ahead) else ", which chance alone could give"
    if ahead.mean == 0:
        return f"The strongest rival, “{name}”, does exactly as well."
    if ahead.mean is not None and ahead.mean > 0:
        by = measured(ahead, digits(metric))
        return f"The strongest rival, “{name}”, is behind by {by} {metric} task by task{chance}."
    by = measured(intervals.advantage(run.results, rival.method.name, "generated"), digits(metric))
    return f"“{name}” does better: it is ahead by {by} {metric} task by task{chance}."


def _shuffled(run: RunFolder) -> list[str]:
    """Whether the generator listens to its condition."""
    loss = intervals.advantage(run.results, "generated", "shuffled")
    metric = run.results.unit
    if loss.mean is None:
        return []
    by = measured(loss, digits(metric))
    heeds = loss.mean > 0 and _clear(loss)
    verdict = "its condition matters" if heeds else "no sign that it listens"
    return [f"Given another task's vector, the generator loses {by} {metric}: {verdict}."]


def _clear(found: Interval) -> bool:
    """The interval lies on one side of zero."""
    return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


def _tasks(count: int) -> str:
    return "on one unseen task" if count == 1 else f"on {count} unseen tasks"
