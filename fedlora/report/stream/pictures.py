"""The drawings of a continual run."""

from fedlora.report.figures import Figure, Section, what_travelled
from fedlora.report.plots.stream import curves, heat_map
from fedlora.report.run_folder import RunFolder
from fedlora.report.stream.told import Matrix, Told, mean_matrix

NAMES = {"within": "Task known", "among": "Task not known"}
ABOUT = {
    "within": "Each task told apart within its own classes (task-incremental).",
    "among": "Among the classes of all tasks met so far (class-incremental).",
}


def sections(run: RunFolder, told: list[Told]) -> list[Section]:
    """Those that the run has material for."""
    found = [_matrices(told), _curves(told)] if told else []
    return [section for section in (*found, what_travelled(run)) if section.figures]


def _matrices(told: list[Told]) -> Section:
    of = f" Means of {len(told)} seeds, whose tasks stand in the same places." if told[1:] else ""
    section = Section("What is kept", f"Accuracy in percent: a row a step, a column a task.{of}")
    for reading, title in NAMES.items():
        matrix = mean_matrix([getattr(seed, reading) for seed in told])
        svg = heat_map(matrix, told[0].tasks, title)
        section.figures.append(Figure(title, ABOUT[reading], svg))
    return section


def _curves(told: list[Told]) -> Section:
    section = Section("Step by step")
    lines = {
        title: [_mean(row) for row in mean_matrix([getattr(seed, r) for seed in told])]
        for r, title in NAMES.items()
    }
    caption = "Mean accuracy over the tasks met so far."
    svg = curves(lines, "accuracy", caption)
    section.figures.append(Figure("Average accuracy", caption, svg))
    first = mean_matrix([seed.within for seed in told])
    kept = {name: _history(first, task) for task, name in enumerate(told[0].tasks[:5])}
    caption = "Accuracy of single tasks since they were learned, the task known."
    section.figures.append(
        Figure("Each task since it was learned", caption, curves(kept, "accuracy", caption))
    )
    if told[0].memory and told[0].memory[-1]:
        shares = {
            f"seed {number + 1}": [sum(step.values()) / len(step) for step in seed.memory]
            for number, seed in enumerate(told)
        }
        caption = "Share of the layers' input space that old tasks take, a mean over layers."
        svg = curves(shares, "share of dimensions", caption)
        section.figures.append(Figure("Room taken", caption, svg))
    return section


def _history(matrix: Matrix, task: int) -> list[float]:
    return [value for row in matrix if (value := row[task]) is not None]


def _mean(row: list[float | None]) -> float:
    known = [value for value in row if value is not None]
    return sum(known) / len(known)
