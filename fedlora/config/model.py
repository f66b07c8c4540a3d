"""What is adapted and how: the frozen base model and its LoRA."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fedlora.section import Section

T = TypeVar("T")


def _no_single_name(given: Any) -> Any:
    if isinstance(given, str):
        raise ValueError(f"write [{given}], a list")
    return given


def _with_a_place(template: str) -> str:
    if "{}" not in template:
        raise ValueError(f"put {{}} where the class name belongs in '{template}'")
    return template


Listed = Annotated[tuple[T, ...], BeforeValidator(_no_single_name)]
"""A list, where one name alone is an easy mistake."""

Template = Annotated[str, AfterValidator(_with_a_place)]
"""A prompt with a place for a class name."""


PACKAGED = ("tiny_vit", "mini_vit", "tiny_clip", "tiny_florence")
"""Models that lie in fedlora's own assets."""
EMBEDDED = (*PACKAGED, "minilm", "smollm2")
"""Models that need no network."""


class BackboneConfig(Section):
    """The frozen base model: an embedded name, a local folder, or a hub id."""

    name: str
    dtype: Literal["float32", "bfloat16"] = "float32"
    max_length: int = Field(128, ge=8, description="tokens a text is cut to")
    num_classes: int | None = Field(
        None, ge=2, description="with a CLIP: how many classes every task must have"
    )
    prompts: Listed[Template] = Field(
        ("a photo of a {}.",), min_length=1, description="what a CLIP reads class names in"
    )


class LoraSection(Section):
    """What is trained. `targets: auto` takes the query and value projections."""

    rank: int = Field(4, ge=1)
    ranks: tuple[int, ...] | None = Field(
        None, min_length=1, description="of the bank's clients in turn, none above rank"
    )
    alpha: float = Field(8.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Literal["auto"] | tuple[str, ...] = "auto"
    layers: tuple[int, ...] | None = Field(None, description="blocks to adapt; all when absent")
    rslora: bool = False
    dora: bool = False
    head: bool = Field(False, description="train a classification head too, sent and counted")

    @model_validator(mode="after")
    def _refuse_dora(self) -> Self:
        if self.dora:
            raise ValueError("dora: not supported yet; set lora.dora=false")
        return self

    @model_validator(mode="after")
    def _check_ranks(self) -> Self:
        if self.ranks and not 1 <= min(self.ranks) <= max(self.ranks) <= self.rank:
            raise ValueError(f"ranks: each from 1 to lora.rank={self.rank}; raise lora.rank")
        return self
