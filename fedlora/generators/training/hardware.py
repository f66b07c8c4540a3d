"""How busy the machine is."""

from contextlib import suppress

import psutil
import torch


def usage() -> dict[str, float]:
    """CPU use in percent since the last call, this process's memory and the GPU's in MiB."""
    measured = {
        "hardware/cpu_percent": psutil.cpu_percent(),
        "hardware/memory_mib": psutil.Process().memory_info().rss / 2**20,
    }
    if torch.cuda.is_available():
        measured["hardware/gpu_memory_mib"] = torch.cuda.memory_allocated() / 2**20
        # the driver's Python package is an extra
        with suppress(ModuleNotFoundError, RuntimeError):
            measured["hardware/gpu_percent"] = float(torch.cuda.utilization())
    return measured
