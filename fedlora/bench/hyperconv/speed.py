"""What the harness, the tokeniser and one generation cost, in CPU seconds of this process."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.generators.contract import TrainingBank
from fedlora.generators.hyperconv import HyperConv
from fedlora.generators.hyperconv_network import DecoderConfig, HyperConvNetwork
from fedlora.generators.learner import Columns, Plan
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
STEPS = 30


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
    """Median CPU milliseconds of one adapter for MiniLM at r 8, from four prompts."""
    adapters = [drawn(MINILM, seed) for seed in range(4)]
    prompts = torch.randn(4, 4 * 384, generator=seeding.generator(0, "prompts"))
    options = {"prompt_width": 384, "training": {"epochs": 1}}
    generator = HyperConv(HyperConv.Config.model_validate(options))
    bank = TrainingBank(adapters, prompts, ["a", "b", "c", "d"])
    generator.fit(bank, seed=0, workdir=workdir, progress=lambda _: None)
    generator.sample(prompts[:1], seed=0)
    return 1000 * statistics.median(
        _cpu(lambda: generator.sample(prompts[:1], seed=0)) for _ in range(20)
    )


def overhead() -> list[float]:
    """CPU time of the harness over a bare loop's for as many steps, in percent, a turn each."""
    tokeniser = Tokeniser(MINILM, TokensConfig())
    weights = tokeniser.mask.float() / tokeniser.mask.sum()
    rng = seeding.generator(0, "overhead")
    data = Columns(
        torch.randn(8, *weights.shape, generator=rng), torch.randn(8, 4, 24, generator=rng)
    )
    plan = Plan(epochs=STEPS, batch_size=8, save_every=STEPS)

    def make() -> HyperConvNetwork:
        return HyperConvNetwork(4, 24, weights, DecoderConfig())

    def harness() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            train(
                make, data, plan, seed=0, identity="", workdir=Path(scratch),
                progress=lambda _: None,
            )  # fmt: skip

    def bare() -> None:
        _loop(make(), data, plan)

    for first in (harness, bare):  # imports and first allocations
        first()
    return [100 * (_cpu(harness) / _cpu(bare) - 1) for _ in range(TURNS)]


def _loop(network: HyperConvNetwork, data: Columns, plan: Plan) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs)
    noise = torch.Generator()
    for step in range(plan.epochs):
        batch = data.take(torch.arange(len(data)), noise)
        loss = network.losses(*batch, done=step / plan.epochs, noise=noise)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip_norm)
        optimizer.step()
        schedule.step()


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
