"""The bases of every config section."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from fedlora import registry


class Section(BaseModel):
    """Frozen, and deaf to nothing: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(BaseModel):
    """A part chosen by name, with the options of its own `Config` beside the name.

    A subclass names the room the part is looked up in, so that both the name and the options
    are checked when the configuration is read, not when the part is first used.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @classmethod
    def room(cls) -> str:
        raise TypeError(f"{cls.__name__} names no room")

    @model_validator(mode="after")
    def _options_are_those_of_the_part(self) -> "Part":
        self.options()
        return self

    def options(self) -> Any:
        """The validated `Config` of the part.

        Raises:
            FedloraError: there is no such part.
            pydantic.ValidationError: an option is unknown or of the wrong type.
        """
        return registry.find(self.room(), self.name).Config.model_validate(self.model_extra or {})

    def build(self, **context: Any) -> Any:
        """The part itself, made from its options."""
        return registry.find(self.room(), self.name)(self.options(), **context)
