"""What the harness, the tokeniser and one generation cost this process."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.backbone.text_encoder import open_encoder
from fedlora.generators.contract import TrainingBank
from fedlora.generators.hyperconv import HyperConv
from fedlora.generators.hyperconv_network import DecoderConfig, HyperConvNetwork
from fedlora.generators.learner import Plan
from fedlora.generators.pairs import Pairs
from fedlora.generators.tokens import Tokeniser, TokensConfig
from fedlora.generators.training import train

# MiniLM, r 8 on query and value: 73,728 values. The other has 200,704.
MINILM = AdapterSpec(
    "bench",
    tuple(LayerSpec(f"layer.{i}.{name}", 384, 384, 8) for i in range(6) for name in ("q", "v")),
    16.0,
)
LARGE = AdapterSpec("bench", tuple(LayerSpec(f"{i}", 784, 784, 16) for i in range(8)), 16.0)
TURNS = 3
EPOCHS = 40


def drawn(spec: AdapterSpec, seed: int) -> LoraAdapter:
    """A random adapter."""
    rng = seeding.generator(seed, "bench hyperconv")
    return LoraAdapter.from_flat(spec, 0.02 * torch.randn(spec.size, generator=rng))


def tokenising(count: int = 1000) -> float:
    """CPU seconds of tokenising that many adapters of 200,704 values."""
    tokeniser = Tokeniser(LARGE, TokensConfig())
    adapters = [drawn(LARGE, seed) for seed in range(4)]
    return _cpu(lambda: [tokeniser.encode(adapters[i % 4]) for i in range(count)])


def generation(workdir: Path) -> float:
    """Median CPU milliseconds of one adapter for MiniLM at r 8, from four prompts as texts."""
    encoder = open_encoder()
    adapters = [drawn(MINILM, seed) for seed in range(4)]
    told = torch.stack([encoder.encode(_questions(task)).flatten() for task in range(4)])
    options = {"prompt_width": encoder.width, "training": {"epochs": 1}}
    generator = HyperConv(HyperConv.Config.model_validate(options))
    bank = TrainingBank(adapters, told, ["a", "b", "c", "d"])
    generator.fit(bank, seed=0, workdir=workdir, progress=lambda _: None)

    def answer(asked: int) -> None:
        generator.sample(encoder.encode(_questions(asked)).flatten().unsqueeze(0), seed=0)

    answer(4)
    return 1000 * statistics.median(_cpu(partial(answer, 5 + turn)) for turn in range(20))


def _questions(of: int) -> list[str]:
    """Four that were not asked before: an encoder knows what it has read."""
    return [f"Which of these has {part} of {of} things in it, and why?" for part in range(4)]


def overhead() -> tuple[list[float], list[float]]:
    """What the harness takes over a bare loop of as many steps and validations, in percent.

    Of processor time and of wall time, a turn each; logs and checkpoints are in it.
    """
    network, pairs, judged = _problem()
    plan = Plan(epochs=EPOCHS, batch_size=8)

    def harness() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            train(
                network, pairs, plan, validation=judged, seed=0, identity="",
                workdir=Path(scratch), progress=lambda _: None,
            )  # fmt: skip

    def bare() -> None:
        _loop(network(), pairs, judged, plan)

    for first in (harness, bare):  # imports and first allocations
        first()
    processor, wall = [], []
    for _ in range(TURNS):
        ours, theirs = _times(harness), _times(bare)
        processor.append(100 * (ours[0] / theirs[0] - 1))
        wall.append(100 * (ours[1] / theirs[1] - 1))
    return processor, wall


def _problem() -> tuple[Callable[[], HyperConvNetwork], Pairs, Pairs]:
    """A network for MiniLM's adapters; eight of them with four groups of prompts, and one more."""
    tokeniser = Tokeniser(MINILM, TokensConfig())
    weights = tokeniser.mask.float() / tokeniser.mask.sum()
    rng = seeding.generator(0, "overhead")
    targets, prompts = (
        torch.randn(8, *shape, generator=rng) for shape in (weights.shape, (20, 24))
    )
    make = partial(HyperConvNetwork, 4, 24, weights, DecoderConfig())
    return make, Pairs(targets, prompts[:, :16], 4), Pairs(targets, prompts[:, 16:], 4)


def _loop(network: HyperConvNetwork, pairs: Pairs, judged: Pairs, plan: Plan) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate)
    batches = torch.arange(len(pairs)).split(plan.batch_size)
    steps = plan.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    noise = torch.Generator()
    for epoch in range(plan.epochs):
        for rows in batches:
            loss = network.losses(*pairs.take(rows, noise), done=epoch / plan.epochs, noise=noise)
            optimizer.zero_grad()
            loss["loss"].backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip_norm)
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            network.losses(*judged.take(torch.arange(len(judged)), noise), done=1.0, noise=noise)


def _cpu(work: Callable[[], object]) -> float:
    return _times(work)[0]


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall
