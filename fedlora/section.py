"""The bases of every config section, and what is said when one is wrong."""

import re
from types import NoneType
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from fedlora import registry
from fedlora.errors import FedloraError

T = TypeVar("T", bound=BaseModel)


class Section(BaseModel):
    """Frozen, and deaf to nothing: an unknown key is an error, and so is infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_parts(cls, raw: Any) -> Any:
        """A part whose options alone are given is the one that stands there by default."""
        if not isinstance(raw, dict):
            return raw
        named = dict(raw)
        for key, given in raw.items():
            field = cls.model_fields.get(key) if isinstance(key, str) else None
            if field is None or not isinstance(given, dict) or "name" in given:
                continue
            if field.default_factory is not None and isinstance(default := _default(field), Part):
                named[key] = {"name": default.name, **given}
        return named


class Part(BaseModel):
    """A part chosen by name, with the options of its own `Config` beside the name.

    A subclass names the room the part is looked up in, so that both the name and the options
    are checked when the configuration is read, not when the part is first used.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    room: ClassVar[str]

    name: str

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        try:
            registry.find(self.room, self.name)
        except FedloraError as error:
            raise ValueError(f"name: {error}") from None
        try:
            self.options()
        except FedloraError as error:
            raise ValueError(str(error)) from None
        return self

    def options(self) -> Any:
        """The validated `Config` of the part.

        Raises:
            FedloraError: the name or an option is unknown, or an option is of the wrong type.
        """
        return parse(registry.find(self.room, self.name).Config, self.model_extra or {})

    def build(self) -> Any:
        """The part itself, made from its options."""
        return registry.find(self.room, self.name)(self.options())


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def parse(model: type[T], raw: Any) -> T:
    """Validate `raw` as `model`.

    Raises:
        FedloraError: one line that names the first wrong key and the remedy.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise FedloraError(_explain(error, model)) from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first complaint of pydantic as `key: what is wrong, what to do`.

    An unknown key comes before a missing one, which it may well have been meant to be.
    """
    complaints = error.errors(include_url=False)
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    key = ".".join(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        hint = registry.nearest(str(first["loc"][-1]), known) if known else "there are no options"
        return f"{key}: unknown key; {hint}"
    if first["type"] == "missing":
        return f"{key}: missing; give it a value"
    if first["type"] == "model_type":
        known = _fields_at(model, first["loc"])
        example = "name" if "name" in known else known[0]
        given = first["input"]
        remedy = f"give one, such as {key}.{example}"
        if not key:
            return f"takes keys, not {given!r}; give it {', '.join(known)}"
        if example == "name" and isinstance(first["loc"][-1], int):  # an entry of a list
            remedy = f"write {{name: {given}}}"
        return f"{key}: takes keys, not {given!r}; {remedy}"
    problem = first["msg"].removeprefix("Value error, ").removesuffix(" after validation, not 0")
    problem = re.sub(r"^\w+ should (be|have)\b", r"must \1", problem)
    problem = problem.replace("a valid tuple", "a list, such as [...]")
    # A section's own complaint begins with one of its keys, which then continues the path.
    steps = problem.partition(":")[0].split(".")
    continues = first["type"] == "value_error" and all(map(_is_key, steps))
    separator = "." if continues else ": "
    given = "" if first["type"] == "value_error" else f" (got {first['input']!r})"
    return f"{key}{separator}{problem}{given}" if key else f"{problem}{given}"


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the section that a path of keys leads to; none where it leads to none."""
    place: Any = model
    for step in path:
        if not _is_section(place):  # a tuple of sections or a mapping to them
            place = next(filter(_is_section, map(only, get_args(place))), None)
        elif field := place.model_fields.get(str(step)):
            place = only(field.annotation)
    return sorted(place.model_fields) if _is_section(place) else []


def _is_key(step: str) -> bool:
    return step.isidentifier() or step.isdecimal()


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def only(annotation: Any) -> Any:
    """X of `X | None`, and of anything else itself."""
    options = [option for option in get_args(annotation) if option is not NoneType]
    return options[0] if len(options) == 1 else annotation
