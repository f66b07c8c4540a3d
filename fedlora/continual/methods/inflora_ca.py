"""InfLoRA with class alignment."""

from fedlora.continual.alignment import Alignment
from fedlora.continual.methods import inflora


class Config(inflora.Config):
    """The options of `inflora`, alignment switched on."""

    align: Alignment | None = Alignment()


class InfLoraAligned(inflora.InfLora):
    """InfLoRA whose heads are trained together after each task (arXiv 2404.00228, section 4.2)."""

    Config = Config
