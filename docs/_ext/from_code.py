"""Two directives that read the code, so that no page can list what is not there.

`config-section` takes a config class ("fedlora.config.LoraSection") and tables its keys.
`parts` takes a room of the registry ("wire.codecs") and tables its parts and their options.
"""

import importlib
import inspect
from abc import ABC, abstractmethod
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fedlora import registry

ROOMS = ("tasks", "tasks.sources", "generators", "aggregation", "attacks", "wire.codecs")


class FromCode(SphinxDirective, ABC):
    """Parses the Markdown that `lines` returns for the directive's one argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        lines = self.lines(self.arguments[0])
        self.state.nested_parse(StringList(lines, self.arguments[0]), 0, container)
        return container.children

    @abstractmethod
    def lines(self, argument: str) -> list[str]:
        """Markdown about what the argument names."""


class ConfigSection(FromCode):
    """The keys of a section: type, default, meaning."""

    def lines(self, argument: str) -> list[str]:
        module, _, name = argument.rpartition(".")
        model = getattr(importlib.import_module(module), name)
        return [paragraphs(model)[0], "", *keys(model)]


class Parts(FromCode):
    """The parts of a room: name, what it is, options with their defaults."""

    def lines(self, argument: str) -> list[str]:
        lines = []
        for name in registry.names(argument):
            part = registry.find(argument, name)
            fields = part.Config.model_fields.items()
            options = ", ".join(f"`{key}` ({described(field)})" for key, field in fields)
            lines += [f"`{name}`", f": {paragraphs(part)[0]}", ""]
            lines += [f": Options: {options}.", ""] if options else []
            lines += [f": {text}" for text in paragraphs(part.Config)[1:]]
            lines += [""]
        return lines


def paragraphs(thing: Any) -> list[str]:
    """The docstring's paragraphs, a line each."""
    return [" ".join(text.split()) for text in (inspect.getdoc(thing) or "").split("\n\n")]


def keys(model: type[BaseModel]) -> list[str]:
    rows = [
        f"| `{key}` | {escape(kind(field.annotation))} | {escape(default(field))}"
        f" | {escape(bounds(field))}{escape(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]


def kind(annotation: Any) -> str:
    """A type as a reader of YAML would say it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join("nothing" if part is NoneType else kind(part) for part in inner)
    if origin in (tuple, list):
        return f"list of {kind(inner[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "part" if hasattr(annotation, "room") else "section"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=False)
    if field.default_factory is not None:
        made = field.default_factory()  # type: ignore[call-arg]
        return f"`{made.name}`" if hasattr(made, "name") else "see there"
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "see there"
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def bounds(field: FieldInfo) -> str:
    """Limits that pydantic checks, such as ">= 1"."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return f"{', '.join(found)}. " if found else ""


def described(field: FieldInfo) -> str:
    return "; ".join(filter(None, [default(field), field.description]))


def escape(text: str) -> str:
    return text.replace("|", "\\|")


def setup(app: Sphinx) -> dict[str, bool]:
    # autodoc writes into the annotations of what it documents, and pydantic can derive no class
    # from such a base: so every class is made before
    for room in ROOMS:
        registry.names(room)
    app.add_directive("config-section", ConfigSection)
    app.add_directive("parts", Parts)
    return {"parallel_read_safe": True}
