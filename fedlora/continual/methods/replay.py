"""Experience replay: sequential LoRA that trains on some old examples again."""

from pydantic import Field
from typing_extensions import override

from fedlora.continual.contract import MethodConfig
from fedlora.continual.methods import seq_lora


class Config(MethodConfig):
    """per_class: examples of each earlier class that are kept, by each client from its own."""

    per_class: int = Field(20, ge=1)


class Replay(seq_lora.SeqLora):
    """Old examples join each task's, and the cross entropy is over all classes met so far.

    (Chaudhry et al. 2019, arXiv 1902.10486.)
    """

    Config = Config

    @override
    def recalled(self) -> int | None:
        return int(self.config.per_class)
