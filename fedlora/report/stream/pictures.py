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
    found = {r: mean_matrix([getattr(seed, r) for seed in told]) for r in NAMES}
    every = [v for matrix in found.values() for row in matrix for v in row if v is not None]
    shades = f" The shades run from {min(every):.0%}, violet, to {max(every):.0%}, yellow, in both."
    about = f"Accuracy in percent: a row a step, a column a task.{shades}{of}"
    section = Section("What is kept", about)
    for reading, title in NAMES.items():
        rows = [str(step + 1) for step in range(len(found[reading]))]
        svg = heat_map(found[reading], told[0].tasks, rows, title, (min(every), max(every)))
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
    svg = curves(kept, "accuracy", caption, "steps, that of learning the first")
    section.figures.append(Figure("Each task since it was learned", caption, svg))
    if told[0].memory and told[0].memory[-1]:
        shares = {
            f"seed {seed.seed}": [sum(step.values()) / len(step) for step in seed.memory]
            for seed in told
        }
        caption = "Share of the layers' input space that old tasks take, a mean over layers."
        svg = curves(shares, "share of dimensions", caption)
        section.figures.append(Figure("Room taken", caption, svg))
        section.figures.append(_layers(told))
    return section


def _layers(told: list[Told]) -> Figure:
    """Of the first seed: layers beside each other have different rooms from seed to seed."""
    steps = told[0].dims
    counts: Matrix = [[float(step[layer]) for step in steps] for layer in steps[-1]]
    columns = [str(number + 1) for number in range(len(steps))]
    short = [".".join(layer.split(".")[-3:]) for layer in steps[-1]]
    title = "Dimensions of M"
    of = " of the first seed" if told[1:] else ""
    caption = f"What old tasks take in each layer{of}: a row a layer, a column a step."
    most = max(value for row in counts for value in row if value is not None)
    svg = heat_map(counts, columns, short, title, (0.0, most), unit=1.0, side="")
    return Figure(title, caption, svg)


def _history(matrix: Matrix, task: int) -> list[float]:
    return [value for row in matrix if (value := row[task]) is not None]


def _mean(row: list[float | None]) -> float:
    known = [value for value in row if value is not None]
    return sum(known) / len(known)
