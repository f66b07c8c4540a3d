"""`fedlora bench`: measure what was promised, and write it to results/."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.console import watching
from fedlora.cli.options import AsJson

app = typer.Typer(help="Measure what was promised, and write results/.", no_args_is_help=True)

WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes at once; one a core when absent.")
]
OutOption = Annotated[Path, typer.Option(help="The results file.")]


@app.callback()
def begin() -> None:
    """Note which commit is measured."""
    from fedlora.results import this_commit

    this_commit()


@app.command("main")
def main_bench(out: OutOption = Path("results/main.json"), json: AsJson = False) -> None:
    """Measure the main job: quality, time, determinism, resumption, PEFT, bytes."""
    from fedlora.bench.main import bench_main
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_main(out, observer)
    show_claims([results], json)


@app.command("comm")
def comm_bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="exactness, wire, links, vision, text or language alone; all when absent."
        ),
    ] = None,
    out: OutOption = Path("results/comm.json"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every federation, at most.")] = 5,
    workers: WorkersOption = None,
    json: AsJson = False,
) -> None:
    """Measure aggregation methods and codecs: exactness, accuracy and bytes."""
    from fedlora.bench.comm.bench import bench_comm
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_comm(out, observer, only or (), seeds, workers)
    show_claims([results], json)


OnlyOption = Annotated[
    list[str] | None,
    typer.Option(help="A workload to measure alone; written only where --out is given."),
]
SimOutOption = Annotated[
    Path | None, typer.Option(help="The results file.", show_default="results/sim.json")
]


@app.command("sim")
def sim_bench(only: OnlyOption = None, out: SimOutOption = None, json: AsJson = False) -> None:
    """Measure simulation speed beside a plain loop, Flower and pfl-research."""
    from fedlora.bench.sim.bench import bench_sim
    from fedlora.cli.claims import show_claims

    target = out if only else out or Path("results/sim.json")
    with watching() as observer:
        results = bench_sim(target, only or [], observer)
    show_claims([results], json)


@app.command("deploy")
def deploy_bench(
    only: Annotated[
        list[str] | None, typer.Option(help="costs, federation or faults alone.")
    ] = None,
    out: OutOption = Path("results/deploy.json"),
    json: AsJson = False,
) -> None:
    """Measure deployments: equality, cost of a message, newcomers, faults, intruders."""
    from fedlora.bench.deploy.bench import bench_deploy
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_deploy(out, only or [], observer)
    show_claims([results], json)


@app.command("generator")
def generator_bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="dense, sparse, composition, text, language, ranks, published, bytes or speed"
            " alone; all when absent."
        ),
    ] = None,
    out: OutOption = Path("results/generator.json"),
    workers: WorkersOption = None,
    json: AsJson = False,
) -> None:
    """Measure generation for unseen tasks against retrieval, few labels and averaging."""
    from fedlora.bench.generator.bench import bench_generator
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_generator(out, observer, only or (), workers)
    show_claims([results], json)


@app.command("clip")
def clip_bench(
    out: OutOption = Path("results/clip.json"),
    workers: WorkersOption = None,
    json: AsJson = False,
) -> None:
    """Measure the CLIP module: accuracy, bytes, time and memory, exactness."""
    from fedlora.bench.clip.bench import bench_clip
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_clip(out, observer, workers=workers)
    show_claims([results], json)


@app.command("hyperconv")
def hyperconv_bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="text, dense, composition, commonsense, harness, speed or dry-run alone; all when"
            " absent."
        ),
    ] = None,
    out: OutOption = Path("results/hyperconv.json"),
    workers: WorkersOption = None,
    json: AsJson = False,
) -> None:
    """Measure the generator from prompts: does it listen, is it worth it, what does it cost."""
    from fedlora.bench.hyperconv.bench import bench_hyperconv
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_hyperconv(out, only or [], observer, workers)
    show_claims([results], json)


@app.command("detection")
def detection_bench(out: OutOption = Path("results/detection.json"), json: AsJson = False) -> None:
    """Measure detection: generated adapters beside the trained ones, by rank."""
    from fedlora.bench.detection import bench_detection
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_detection(out, observer)
    show_claims([results], json)


@app.command("inflora")
def inflora_bench(
    out: OutOption = Path("results/inflora.json"),
    family: Annotated[
        list[str] | None,
        typer.Option(help="digits, fashion or 'digits, pretrained' alone; all when absent."),
    ] = None,
    workers: WorkersOption = None,
    json: AsJson = False,
) -> None:
    """Measure InfLoRA: invariants, forgetting, federations, cost."""
    from fedlora.bench.inflora.bench import bench_inflora
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_inflora(out, observer, family or (), workers)
    show_claims([results], json)


@app.command("trust")
def trust_bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="attacks, bombs, shares, shards, texts, privacy, fuzz, guided, tricks, kills,"
            " runs or audit alone; all when absent."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every federation.")] = 3,
    workers: WorkersOption = None,
    out: OutOption = Path("results/trust.json"),
    json: AsJson = False,
) -> None:
    """Measure attacks against defences, hostile bytes, and killed writers."""
    from fedlora.bench.trust.bench import bench_trust
    from fedlora.cli.claims import show_claims

    with watching() as observer:
        results = bench_trust(out, only or [], observer, tuple(range(seeds)), workers)
    show_claims([results], json)
