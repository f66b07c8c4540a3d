"""What a wrapped ViT-B/32 costs: values, bytes, seconds, memory, and what it leaves alone."""

import multiprocessing
import statistics
import time
from collections.abc import Callable

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from fedlora.backbone.clip import ClipTowers, image_input
from fedlora.bench.peak import with_peak
from fedlora.config import CLIP_TARGETS
from fedlora.lora import CLIPLoRAWrapper, FederatedCLIPModel, LoRAConfig

CLASSES, BATCH, FEW = 10, 16, 4
RANKS = (8, 16, 32)


def vit_b_32() -> FederatedCLIPModel:
    """openai/clip-vit-base-patch32 with random values, and a head that is frozen."""
    config = CLIPConfig()
    torch.manual_seed(0)
    model = FederatedCLIPModel(
        ClipTowers(CLIPModel(config), None, image_input(config), "ViT-B/32"), CLASSES
    )
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.01)
    model.classifier.requires_grad_(False)
    model.trainable_head = False
    return model


def adapted(model: FederatedCLIPModel, rank: int = 8) -> CLIPLoRAWrapper:
    """The vision tower's query, key, value and MLP at a rank, without dropout."""
    config = LoRAConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=CLIP_TARGETS)
    return CLIPLoRAWrapper(model, config).apply_lora_to_federated_model()


def counts() -> list[dict[str, int]]:
    """Trainable values by rank, and bytes of the adapter, the vision tower and the whole model."""
    rows = []
    for rank in RANKS:
        model = vit_b_32()
        whole = sum(values.nbytes for values in model.get_parameters())
        vision = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
        wrapper = adapted(model, rank)
        sent = sum(values.nbytes for values in wrapper.get_parameters())
        trainable = wrapper.parameter_counts()["trainable"]
        rows.append(
            {"rank": rank, "trainable": trainable, "adapter": sent, "vision": vision, "full": whole}
        )
    return rows


def differences() -> tuple[float, float]:
    """Of any logit: disabled against plain; merged against adapted, as a share of the largest."""
    model, (pixels, _) = vit_b_32().eval(), batch()
    with torch.no_grad():
        plain = model(pixels)
        wrapper = adapted(model)
        for name, parameter in wrapper.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
        tuned = wrapper.eval()(pixels)
        wrapper.disable_lora_layers()
        disabled = float((wrapper(pixels) - plain).abs().max())
        wrapper.enable_lora_layers()
        merged = wrapper.merge_and_unload()(pixels)
    return disabled, float((merged - tuned).abs().max() / tuned.abs().max())


def overhead(pairs: int) -> dict[str, float]:
    """CPU time of a wrapped step over that of plain PEFT's.

    Steps alternate, so that what slows the machine slows both; "ratio" is the median of the pairs,
    "low" and "high" its 95% interval.
    """
    ours, (pixels, labels) = adapted(vit_b_32()), batch(FEW)
    theirs = get_peft_model(
        vit_b_32(),
        LoraConfig(
            r=8, lora_alpha=16, target_modules=rf".*vision_model.*\.({'|'.join(CLIP_TARGETS)})"
        ),
    )
    optimizer = torch.optim.AdamW(
        [p for p in theirs.parameters() if p.requires_grad], 5e-4, weight_decay=0.0, fused=True
    )

    def plain_step() -> None:
        theirs.train()
        loss = functional.cross_entropy(theirs(pixels), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        float(loss.detach())

    def our_step() -> None:
        ours.train_step(pixels, labels)

    ratios = []
    for number in range(pairs + 1):
        order = (our_step, plain_step) if number % 2 else (plain_step, our_step)
        took = {step: cpu_seconds(step) for step in order}
        ratios.append(took[our_step] / took[plain_step])
    from scipy import stats

    median = statistics.median(ratios[1:])
    inside = stats.quantile_test(ratios[1:], q=median).confidence_interval(0.95)
    return {"ratio": median, "low": float(inside.low), "high": float(inside.high)}


def checkpointed(steps: int = 3) -> dict[bool, tuple[float, int | None]]:
    """Median CPU seconds a step and peak bytes, without and with checkpointing; a process each."""
    spawn = multiprocessing.get_context("spawn")
    found = {}
    for wanted in (False, True):
        with spawn.Pool(1) as pool:
            found[wanted] = pool.apply(_cost, (wanted, steps))
    return found


def _cost(checkpointing: bool, steps: int) -> tuple[float, int | None]:
    torch.set_num_threads(1)
    wrapper, (pixels, labels) = adapted(vit_b_32()), batch(4 * BATCH)
    if checkpointing:
        wrapper.enable_gradient_checkpointing()

    def train() -> list[float]:
        return [cpu_seconds(lambda: wrapper.train_step(pixels, labels)) for _ in range(steps + 1)]

    took, peak = with_peak(train)
    return statistics.median(took[1:]), peak


def batch(count: int = BATCH) -> tuple[Tensor, Tensor]:
    """Random images and labels."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 224, 224, generator=draw), torch.arange(count) % CLASSES


def cpu_seconds(act: Callable[[], object]) -> float:
    """Of this process, in one call."""
    started = time.process_time()
    act()
    return time.process_time() - started
