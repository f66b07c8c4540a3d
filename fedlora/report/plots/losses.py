"""Learning, from the first round to the generator's last epoch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from fedlora.report.palette import colour
from fedlora.report.plots.canvas import draw, tip
from fedlora.report.run_folder import Record
from fedlora.report.series import curve, finite, numbers, step

HEIGHT = 230
_FAINT = 120
"""Most single clients drawn behind the mean."""


def warm_start(metrics: Sequence[Record]) -> Markup | None:
    """Training loss by round: the mean over clients, and the middle half of them."""
    rounds: dict[int, list[float]] = defaultdict(list)
    for record in metrics:
        loss = finite(record.get("loss"))
        if record.get("phase") == "warm_start" and loss is not None:
            rounds[step(record)].append(loss)
    return _banded(rounds, "round", "Training loss in the warm start") if rounds else None


def finetune(metrics: Sequence[Record], name: str) -> Markup | None:
    """Loss by epoch: every client, and the mean of those still training.

    Args:
        metrics: of every seed.
        name: `curve` for the training loss, `validation` for the validation loss.
    """
    found = [(r, curve(r, name)) for r in metrics if r.get("phase") == "finetune"]
    curves = [(str(r.get("task", "")), values) for r, values in found if values]
    if not curves:
        return None
    epochs: dict[int, list[float]] = defaultdict(list)
    for _, values in curves:
        for epoch, value in enumerate(values, start=1):
            epochs[epoch].append(value)
    return _banded(epochs, "epoch", "Loss in fine-tuning", curves[:_FAINT])


def generator(seeds: Sequence[Sequence[Record]]) -> Markup | None:
    """The generator's losses by epoch, a colour a loss and a line a seed."""
    lines: list[tuple[str, dict[int, float]]] = []
    for metrics in seeds:
        by_name: dict[str, dict[int, float]] = defaultdict(dict)
        for record in metrics:
            if record.get("phase") == "generator" and "epoch" in record:
                for name, value in numbers(record).items():
                    if name != "learning_rate":
                        by_name[name][step(record)] = value
        lines += by_name.items()
    if not lines:
        return None
    names = list(dict.fromkeys(name for name, _ in lines))
    hues = dict(
        zip(
            names,
            ("generated", "mean", "topk", "ridge", "nearest", "few_labels", "warm"),
            strict=False,
        )
    )

    def paint(ax: Axes) -> None:
        for name, values in lines:
            x, y = zip(*sorted(values.items()), strict=True)
            first = name not in ax.get_legend_handles_labels()[1]
            ax.plot(
                x,
                y,
                color=colour(hues.get(name, "other")),
                linewidth=1.6,
                gid=tip(name),
                marker="o" if len(x) == 1 else "",
                label=name if first else None,
            )
        if all(value > 0 for _, values in lines for value in values.values()):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
        _axis(ax, "epoch")
        ax.figure.legend(loc="outside upper left", ncols=4)

    last = "; ".join(f"{name} ends at {values[max(values)]:.3g}" for name, values in lines)
    return draw(paint, alt=f"Losses of the generator by epoch. {last}", height=HEIGHT)


def generator_facts(metrics: Sequence[Record]) -> str:
    """What the generator says of itself after its last epoch, of the first seed.

    And whether the posterior collapsed, of any.
    """
    last = [r for r in metrics if r.get("phase") == "generator" and "epoch" not in r]
    if not last:
        return ""
    named = [f"{k.replace('_', ' ')} {v:g}" for k, v in numbers(last[0]).items()]
    told = f"{', '.join(named).capitalize()}."
    if any(record.get("active_units") == 0 for record in last):
        told += " The posterior has collapsed: draws differ by noise alone."
    return told


def _banded(
    steps: Mapping[int, Sequence[float]],
    axis: str,
    title: str,
    faint: Sequence[tuple[str, Sequence[float]]] = (),
) -> Markup:
    x = sorted(steps)
    mean = [float(np.mean(steps[i])) for i in x]

    def paint(ax: Axes) -> None:
        for name, values in faint:
            ax.plot(
                range(1, len(values) + 1),
                values,
                color=colour("generated"),
                alpha=0.16,
                linewidth=0.9,
                gid=tip(name),
            )
        if not faint:
            low, high = ([float(np.quantile(steps[i], q)) for i in x] for q in (0.25, 0.75))
            ax.fill_between(x, low, high, color=colour("generated"), alpha=0.16, linewidth=0)
        ax.plot(
            x,
            mean,
            color=colour("generated"),
            linewidth=2.2,
            gid=tip("mean"),
            marker="o" if len(x) < 16 else "",
            markersize=4,
        )
        _axis(ax, axis)

    spoken = f"{title}: mean {mean[0]:.3g} at {axis} {x[0]}, {mean[-1]:.3g} at {axis} {x[-1]}"
    return draw(paint, alt=spoken, height=HEIGHT)


def _axis(ax: Axes, label: str) -> None:
    ax.set_xlabel(label, loc="right")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(visible=False, axis="x")
    ax.margins(x=0.02)
