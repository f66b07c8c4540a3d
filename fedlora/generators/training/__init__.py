"""The one place where generators are trained, with PyTorch Lightning.

A fit that is killed goes on from `last.ckpt` and ends with the same weights, bit for bit: every
random number is drawn from a seed that depends on the epoch or the step alone.
"""

from fedlora.generators.training.fit import CHECKPOINT, LOGS, train

__all__ = ["CHECKPOINT", "LOGS", "train"]
