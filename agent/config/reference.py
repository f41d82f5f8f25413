"""Every table and key of site.toml as Markdown, from the schema itself: docs/configuration.md holds it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config.parts import Identifier, TagId
from agent.config.profiles import Profile
from agent.config.site import Site

_PLAIN: dict[Any, str] = {
    float: "number",
    int: "whole number",
    bool: "true, false",
    str: "text",
    Path: "path",
}
_PATTERNS = {
    typing.get_args(Identifier)[1].pattern: "id",
    typing.get_args(TagId)[1].pattern: "tag",
}


def key_tables() -> str:
    """Markdown: one heading and one table of keys for each table of site.toml, then for a profile."""
    parts = [_section(path, model) for path, model in _models(Site, ())]
    parts += [_section(("profile",), Profile.model_fields["profile"].annotation, file="a profile's ")]
    return "\n\n".join(parts) + "\n"


def _models(
    model: type[BaseModel], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner, many = _inner(field.annotation)
        if inner is None:
            continue
        key = field.alias or name
        if many is tuple:
            # Lists of tables are written in one line: `periods = [{ ... }]`.
            yield (*path, f"{key}[]"), inner
        else:
            any_id = "Y" if "X" in path else "X"
            yield from _models(inner, (*path, key, any_id) if many is dict else (*path, key))


def _section(path: tuple[str, ...], model: Any, *, file: str = "") -> str:
    title = f"`[{'.'.join(path)}]`" if path else "Top of the file"
    if path and path[-1].endswith("[]"):
        title = f"`{path[-1]}` of `[{'.'.join(path[:-1])}]`"
    rows = ["| key | value | default | range | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if _inner(field.annotation)[0] is not None and _inner(field.annotation)[1] is not tuple:
            continue
        cells = (
            f"`{field.alias or name}`",
            _kind(field),
            "**required**" if field.is_required() else _default(field.get_default(call_default_factory=True)),
            _range(field),
            field.description or "",
        )
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    text = (model.__doc__ or "").strip().splitlines()[0]
    about = text.partition(": ")[2] if text.startswith("[") else text
    return f"### {file}{title}\n\n{about[:1].upper()}{about[1:]}\n\n" + "\n".join(rows)


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, type | None]:
    """The table inside a key's type, and whether there are many: dict by id, tuple in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    origin = typing.get_origin(annotation)
    if origin in {dict, tuple, typing.Union, types.UnionType}:
        for argument in typing.get_args(annotation):
            inner, _ = _inner(argument)
            if inner is not None:
                return inner, origin if origin in {dict, tuple} else None
    return None, None


def _kind(field: FieldInfo) -> str:
    for part in field.metadata:
        if (pattern := getattr(part, "pattern", None)) in _PATTERNS:
            return _PATTERNS[str(pattern)]
    return _kind_of(field.annotation)


def _kind_of(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f'"{choice}"' for choice in arguments)
    if origin is typing.Annotated:
        patterns = [_PATTERNS[p] for a in arguments[1:] if (p := getattr(a, "pattern", None)) in _PATTERNS]
        return patterns[0] if patterns else _kind_of(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return ", ".join(_kind_of(a) for a in arguments if a is not type(None))
    if origin is tuple:
        inner = _inner(annotation)[0]
        return "list of tables, below" if inner is not None else f"list of {_kind_of(arguments[0])}"
    if origin is dict:
        return f"table: {_kind_of(arguments[0])} = {_kind_of(arguments[1])}"
    return _PLAIN.get(annotation, str(annotation))


def _default(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    if isinstance(value, tuple | dict):
        return "empty"
    return f'`"{value}"`'


def _range(field: FieldInfo) -> str:
    words = []
    for part in field.metadata:
        if isinstance(part, Ge):
            words.append(f"≥ {part.ge}")
        elif isinstance(part, Gt):
            words.append(f"> {part.gt}")
        elif isinstance(part, Le):
            words.append(f"≤ {part.le}")
        elif isinstance(part, Lt):
            words.append(f"< {part.lt}")
        elif isinstance(part, MinLen) and field.annotation is str:
            words.append(f"{part.min_length} letters")
        elif isinstance(part, MaxLen):
            continue
    return ", ".join(words)
