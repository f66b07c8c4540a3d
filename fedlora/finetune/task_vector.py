"""What a client says of its task without showing an example: statistics of the base model."""

import torch
from torch import Tensor
from torch.nn import functional

from fedlora.backbone.text_encoder import open_encoder
from fedlora.config import TaskVectorConfig
from fedlora.config.privacy import VectorPrivacy
from fedlora.finetune.local import fresh, mean_gradient
from fedlora.finetune.objectives import Objective, Rows
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.objectives.pictures import PIXELS, images
from fedlora.finetune.objectives.tokens import texts
from fedlora.privacy.accounting import gaussian_scale
from fedlora.privacy.chance import Chance

# Positions of the first block that `early` keeps: enough to tell where in an image or text
# something happens, few enough to stay a few kilobytes.
EARLY_POSITIONS = 20

# Of what has no size of its own: a kilobyte, as the pooled features of a small model take.
HASHED = 256
GRID = 14
GRADIENT_BATCH = 16
COMMON_START = 0
"""The seed of the adapter at which every client's gradient is taken."""


def task_vector(objective: Objective, rows: dict[str, Tensor], config: TaskVectorConfig) -> Tensor:
    """Mean features of the base model over the first `config.samples` rows, (c,) float32.

    The adapter is switched off, since a newcomer has none, or changes nothing. Features,
    concatenated in the order of the configuration:

    - pooled: mean of what the task is decided on (ICM-LoRA's task vector, arXiv 2501.17635,
      takes the last position; the pooled features are that for causal models);
    - moments: standard deviation of the same;
    - early: mean of the first block's output at each of the first positions;
    - gradient: of the loss by `up`, where an adapter that is the same for all starts: what the
      labels ask for, hashed to `HASHED` values;
    - inputs: of the data alone, as a control: the mean image on a grid of `GRID` by `GRID`, or
      how often each token comes, hashed to `HASHED` values;
    - prompts: `config.samples` texts as the sentence encoder sees them, (samples * width,); a
      client with fewer begins again.

    Raises:
        FedloraError: prompts of a task that is not text.
    """
    n = len(next(iter(rows.values())))
    if config.features == ("prompts",):
        chosen = take(rows, torch.arange(config.samples) % n)
        return open_encoder().encode(texts(objective.slot, chosen)).flatten()
    chosen = take(rows, torch.arange(min(n, config.samples)))
    features: dict[str, Tensor] = {}
    if set(config.features) - {"gradient", "inputs"}:
        with torch.inference_mode(), objective.slot.disabled():
            pooled, early, mask = (part.cpu().double() for part in objective.hidden(chosen))
        features |= {
            "pooled": pooled.mean(0),
            "moments": pooled.std(0, correction=0),
            "early": _early_mean(early, mask),
        }
    if "gradient" in config.features:
        features["gradient"] = _gradient(objective, chosen)
    if "inputs" in config.features:
        features["inputs"] = _inputs(chosen)
    return torch.cat([features[name] for name in config.features]).float().clone()


def noisy_task_vector(
    objective: Objective,
    rows: dict[str, Tensor],
    config: TaskVectorConfig,
    budget: VectorPrivacy,
    chance: Chance,
    releases: int = 1,
) -> Tensor:
    """`task_vector` of pooled features, each of `budget.clip` at most, with Gaussian noise.

    Another example in the place of one moves the mean of n by 2 clip / n at most.

    releases: vectors of the same examples that the budget is for.
    """
    n = min(len(next(iter(rows.values()))), config.samples)
    with torch.inference_mode(), objective.slot.disabled():
        pooled, _, _ = objective.hidden(take(rows, torch.arange(n)))
        pooled = pooled.cpu().double()
    norms = torch.linalg.vector_norm(pooled, dim=1, keepdim=True)
    mean = (pooled * (budget.clip / norms.clamp_min(1e-12)).clamp_max(1.0)).mean(0)
    scale = gaussian_scale(budget, 2 * budget.clip / n, releases)
    drawn = chance.normal(mean.shape)
    noisy: Tensor = mean + scale * drawn
    return noisy.float()


def _gradient(objective: Objective, rows: Rows) -> Tensor:
    """(HASHED,): values of the gradient fall into as many sums, each with a sign of its own.

    Inner products of such sums are those of what they sum, in the mean over hashes.
    """
    start = fresh(objective, COMMON_START)
    gradient = mean_gradient(objective, start, rows, GRADIENT_BATCH, None)
    values = torch.cat([up.flatten() for up in gradient.up.values()]).double()
    hashes = torch.Generator().manual_seed(COMMON_START)
    place = torch.randint(HASHED, values.shape, generator=hashes)
    sign = torch.randint(2, values.shape, generator=hashes) * 2 - 1
    return torch.zeros(HASHED, dtype=torch.float64).index_add(0, place, values * sign)


def _inputs(rows: Rows) -> Tensor:
    """(channels * GRID * GRID,) of images, (HASHED,) of texts."""
    if PIXELS in rows:
        mean = images(rows, torch.device("cpu")).double().mean(0)
        return functional.adaptive_avg_pool2d(mean, GRID).flatten()
    read = rows["input_ids"][rows["attention_mask"].bool()] % HASHED
    return torch.bincount(read, minlength=HASHED).double() / len(read)


def _early_mean(states: Tensor, mask: Tensor) -> Tensor:
    """(n, positions, width) -> (EARLY_POSITIONS * width,), padding left out."""
    weight = mask.unsqueeze(-1)
    mean = (states * weight).sum(0) / weight.sum(0).clamp(min=1)
    fitted = functional.pad(mean, (0, 0, 0, max(0, EARLY_POSITIONS - len(mean))))
    return fitted[:EARLY_POSITIONS].flatten()
