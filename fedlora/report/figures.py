"""Every drawing of the page with its title and caption, section by section."""

from contextlib import suppress
from dataclasses import dataclass, field

from markupsafe import Markup

from fedlora.config import TaskVectorConfig
from fedlora.errors import FedloraError
from fedlora.report import bank_map, reach, traffic
from fedlora.report.formats import digits
from fedlora.report.groups import groups
from fedlora.report.outcome import Line, line, strongest_rival
from fedlora.report.plots import bank as bank_plot
from fedlora.report.plots import by_method, by_task, losses, profile, seconds, weights
from fedlora.report.plots import rival as rival_plot
from fedlora.report.plots import traffic as traffic_plots
from fedlora.report.run_folder import RunFolder
from fedlora.section import parse


@dataclass(frozen=True)
class Figure:
    """One drawing."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """Drawings that answer one question; `problem` says why they could not be made."""

    title: str
    about: str = ""
    figures: list[Figure] = field(default_factory=list)
    problem: str = ""


def sections(run: RunFolder, lines: list[Line]) -> list[Section]:
    """Those sections that the run has material for."""
    every = (
        _tasks(run, lines),
        what_travelled(run),
        _bank(run),
        _reach(run),
        _weights(run),
        _learning(run),
        _profile(run),
    )
    return [section for section in every if section.figures or section.problem]


def methods(run: RunFolder, lines: list[Line]) -> list[Figure]:
    """The two drawings that stand beside the table."""
    metric = run.results.unit
    found = []
    if scored := [line for line in lines if line.value.mean is not None]:
        better = "" if run.results.higher_is_better else " Lower is better."
        found.append(
            Figure(
                metric.capitalize(),
                f"Ticks are tasks, the mark is their mean, the line its 95% interval.{better}",
                by_method.values(scored, metric, digits(metric)),
            )
        )
    if shares := [line for line in lines if line.gap.mean is not None]:
        beyond = by_method.outside(shares)
        left_out = f" {beyond} ticks lie beyond the axis." if beyond else ""
        found.append(
            Figure(
                "Share of the gap closed",
                f"0 is the base model, 1 is local training on all local data.{left_out}",
                by_method.gaps(shares),
            )
        )
    return found


def _tasks(run: RunFolder, lines: list[Line]) -> Section:
    metric, higher = run.results.unit, run.results.higher_is_better
    names = ("base", "mean", "nearest", "topk", "ridge", "generated", "local")
    shown = [line for line in lines if line.method.name in names and line.tasks]
    section = Section("Task by task")
    if not shown:
        return section
    every = by_task.ordered(shown, higher_is_better=higher)
    caption = "The grey band runs from the base model to local training."
    if len(every) > by_task.MOST:
        caption += f" {by_task.MOST} of {len(every)} tasks, taken evenly from best to worst."
    svg = by_task.tasks(shown, metric, digits(metric), higher_is_better=higher)
    section.figures.append(Figure(f"{metric.capitalize()} on each unseen task", caption, svg))
    generated, rival = line(lines, "generated"), strongest_rival(run, lines)
    if generated and rival:
        scatter = rival_plot.against(generated, rival, metric, digits(metric))
        side = "Above" if higher else "Below"
        section.figures.append(
            Figure(
                "Against its strongest rival",
                f"{side} the diagonal, the generated adapter is better than"
                f" “{rival.method.label}”, the best of the others that need no training.",
                scatter,
            )
        )
    return section


def what_travelled(run: RunFolder) -> Section:
    """Bytes by purpose, and beside other ways where the run has counted them."""
    found = traffic.purposes(run)
    section = Section("What travelled", traffic.told(found))
    if any(p.up or p.down for p in found):
        section.figures.append(
            Figure(
                "By purpose",
                "What each kind of message added up to.",
                traffic_plots.purposes(found),
            )
        )
    total, rivals = traffic.total(run, found), traffic.rivals(run)
    if total and sum(total) and rivals:
        section.figures.append(
            Figure(
                "Beside other ways to train for the same rounds",
                "A logarithmic scale: each line to the right is ten times as much.",
                traffic_plots.comparison([("This run", sum(total)), *rivals]),
            )
        )
    return section


def _bank(run: RunFolder) -> Section:
    section = Section("The bank")
    for seed in run.seeds[:1]:
        try:
            found = bank_map.read(seed)
        except FedloraError as error:
            return Section("The bank", problem=f"There is no map: {error}")
        if found is None:
            continue
        kinds = groups(found.tasks)
        of = f" of seed {seed.seed}" if len(run.seeds) > 1 else ""
        coloured = f" Colours: {kinds.title}." if kinds.title else ""
        for title, where, share in (
            ("Task vectors", found.vectors, found.shares[0]),
            ("Adapters", found.adapters, found.shares[1]),
        ):
            caption = f"Principal coordinates{of}, {share:.0%} of the spread.{coloured}"
            alt = f"{title} of {len(found.tasks)} tasks, {sum(found.newcomer)} of them newcomers"
            svg = bank_plot.places(where, found.tasks, found.newcomer, kinds, alt)
            section.figures.append(Figure(title, caption, svg))
    return section


def _reach(run: RunFolder) -> Section:
    """Of the first seed, as the map; a damaged bank is told there."""
    section = Section("How far the bank reaches")
    for seed in run.seeds[:1]:
        with suppress(FedloraError):
            described = parse(TaskVectorConfig, run.config.get("task_vector") or {})
            if found := reach.read(seed, described.prompts):
                figure = Figure("Foretold and real errors", found.caption, found.svg)
                section = Section(section.title, found.about, [figure])
    return section


def _weights(run: RunFolder) -> Section:
    section = Section(
        "Generated against trained weights",
        "For tasks of the bank, of which both are known; distances and norms of the whole update.",
    )
    records = [record for seed in run.seeds for record in seed.reconstruction]
    nearer, of = weights.nearer(records)
    distances, norms = weights.distances(records), weights.norms(records)
    if distances:
        section.figures.append(
            Figure(
                "Distance to the task's trained adapter",
                f"Below the diagonal in {nearer} of {of} tasks: the generated adapter is nearer"
                " than any other task's. Relative to the norm of the trained one.",
                distances,
            )
        )
    if norms:
        section.figures.append(
            Figure(
                "Strength",
                "On the diagonal a generated update is as strong as the trained one;"
                " below it the generator has averaged details away.",
                norms,
            )
        )
    return section


def _learning(run: RunFolder) -> Section:
    metrics = [record for seed in run.seeds for record in seed.metrics]
    facts = losses.generator_facts(metrics)
    validation = losses.finetune(metrics, "validation")
    drawn = (
        (
            "Warm start",
            "Training loss: the mean over clients and the middle half of them.",
            losses.warm_start(metrics),
        ),
        (
            "Fine-tuning",
            f"{'Validation' if validation else 'Training'} loss: each client, and their mean.",
            validation or losses.finetune(metrics, "curve"),
        ),
        (
            "Generator",
            f"A colour a loss, a line a seed.{' ' if facts else ''}{facts}",
            losses.generator([seed.metrics for seed in run.seeds]),
        ),
        ("Training time", "Seconds of all clients together, by phase.", seconds.by_phase(metrics)),
    )
    return Section(
        "Learning", figures=[Figure(title, about, svg) for title, about, svg in drawn if svg]
    )


def _profile(run: RunFolder) -> Section:
    section = Section("Where the time went")
    drawing = profile.by_kind(run.times)
    if drawing:
        caption = (
            "Wall time of every process, import and idle waiting included; threads that work side"
            " by side both count. profile/trace.json opens in Perfetto."
        )
        section.figures.append(Figure("By kind of work", caption, drawing))
    return section
