"""Every value of an adapter in one floating-point format, little-endian, nothing else."""

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.errors import FedloraError


def to_bytes(adapter: LoraAdapter, dtype: torch.dtype) -> Tensor:
    """The flattened values, rounded to nearest, as (spec.size * width,) uint8.

    Raises:
        FedloraError: a value is beyond the largest of `dtype`.
    """
    values = adapter.flatten().to(dtype)
    if not bool(torch.isfinite(values).all()):
        raise FedloraError(
            f"adapter holds a value beyond {torch.finfo(dtype).max:.4g}, the largest that {dtype}"
            " can carry: choose the codec 'none'"
        )
    return values.view(torch.uint8)


def from_bytes(data: Tensor, dtype: torch.dtype, spec: AdapterSpec) -> LoraAdapter:
    """The inverse of `to_bytes` for data from anybody.

    Raises:
        FedloraError: not (spec.size * width,) uint8, or a value is not finite.
    """
    expected = spec.size * dtype.itemsize
    if data.dtype != torch.uint8 or tuple(data.shape) != (expected,):
        raise FedloraError(
            f"encoded adapter of {tuple(data.shape)} {data.dtype}, not ({expected},) torch.uint8"
            f" as {spec.size} values of {dtype} take"
        )
    # A copy, since a slice of a frame need not be aligned to the width of `dtype`.
    return LoraAdapter.from_flat(spec, data.clone().view(dtype).to(torch.float32))


def rounding_bound(adapter: LoraAdapter, dtype: torch.dtype) -> float:
    """Largest error of rounding to nearest: half a unit in the last place of the largest value.

    |x - fl(x)| <= max(u |x|, s / 2), where u is half the machine epsilon and s the smallest
    subnormal number (Higham 2002, Accuracy and Stability of Numerical Algorithms, theorem 2.2
    and section 2.1).
    """
    info = torch.finfo(dtype)
    largest = float(adapter.flatten().abs().max())
    return max(info.eps / 2 * largest, info.smallest_normal * info.eps / 2)
