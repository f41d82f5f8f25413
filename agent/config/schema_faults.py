"""What pydantic found, said in the words of site.toml: every fault with its place and a fix."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from agent.config.fault import Fault
from agent.config.where import Place, nearest
from agent.units import CONVERSIONS

_RANGE = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text in quotes",
    "path_type": "text in quotes",
    "tuple_type": "a list [ ... ]",
    "dict_type": "a table with ids, such as [devices.X]",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}


def schema_faults(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """One Fault for each cause, in the order of pydantic."""
    details = error.errors(include_url=False)
    misspelt = {
        (*detail["loc"][:-1], nearest(str(detail["loc"][-1]), keys_at(model, detail["loc"][:-1])))
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    return [
        _fault(detail, model)
        for detail in details
        if detail["type"] != "missing" or detail["loc"] not in misspelt
    ]


def _fault(detail: ErrorDetails, model: type[BaseModel]) -> Fault:
    is_key = detail["loc"][-1:] == ("[key]",)
    place: Place = detail["loc"][:-1] if is_key else detail["loc"]
    key = str(place[-1]) if place else ""
    field = field_at(model, place)
    about = (field.description or "") if field else ""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})

    if is_key:
        return Fault(place, f"'{key}' cannot be an id", _ID_FIX, table=True)
    if kind == "extra_forbidden":
        return _unknown_key(place, key, keys_at(model, place[:-1]), model)
    if kind == "missing":
        table = _inner_model(field.annotation) if field is not None else None
        is_table = table is not None
        name = f"'{key}'"
        if field is not None and table is not None:
            by_id = typing.get_origin(field.annotation) is dict
            name = f"table [{'.'.join(str(part) for part in (*place, *(['X'] if by_id else [])))}]"
        where = place if is_table else place[:-1]
        needs = [n for n, f in table.model_fields.items() if f.is_required()] if table is not None else []
        about = f" with {', '.join(needs)}" if needs else _in_words(about)
        return Fault(where, f"{name} is missing", f"add {name}{about}", table=True)
    if kind in _RANGE:
        name, words = _RANGE[kind]
        return Fault(
            place,
            f"{key} = {_shown(given)} is out of range: it must be {words} {_shown(context[name])}",
            f"correct it{_in_words(about)}",
        )
    if kind == "literal_error":
        return _not_one_of(place, key, given, str(context["expected"]))
    if kind == "string_pattern_mismatch":
        return _bad_id(place, key, given, str(context["pattern"]))
    if kind == "value_error" and key == "unit":
        close = nearest(str(given), CONVERSIONS)
        fix = f'write unit = "{close}"' if close else "write the one that the device's manual gives"
        return Fault(place, str(context["error"]), fix)
    if kind == "value_error":
        what, _, hint = str(context["error"]).partition("; ")
        return Fault(place, what, hint or f"correct it{_in_words(about)}")
    if kind in {"too_short", "string_too_short", "string_too_long"}:
        return Fault(
            place,
            f"{key} is {'empty or ' if 'short' in kind else ''}too {kind.rsplit('_', 1)[-1]}",
            f"correct it{_in_words(about)}",
        )
    if kind in _KINDS:
        return Fault(
            place,
            f"{key} = {_shown(given)} is {_kind_of(given)}; it must be {_KINDS[kind]}",
            _retyped(key, given, kind, about),
        )
    return Fault(place, f"{key} = {_shown(given)}: {detail['msg']}", f"correct it{_in_words(about)}")


_ID_FIX = "begin with a letter; then letters, digits, '_' and '-', 48 at most"


def _unknown_key(place: Place, key: str, known: list[str], root: type[BaseModel]) -> Fault:
    close = nearest(key, known)
    if close:
        return Fault(place, f"'{key}' is not known here", f"write '{close}', or take the key out")
    elsewhere = [table for table, name in _every_key(root, ()) if name == key]
    fix = f"it belongs in [{elsewhere[0]}]" if elsewhere else f"take it out; known here: {', '.join(known)}"
    return Fault(place, f"'{key}' is not known here", fix)


def _every_key(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(table, key) for every key of the schema; X and Y stand for ids that the user chooses."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        if path:
            yield ".".join(path), key
        inner = _inner_model(field.annotation)
        if inner is not None:
            many = typing.get_origin(field.annotation) is dict
            any_id = "Y" if "X" in path else "X"
            yield from _every_key(inner, (*path, key, any_id) if many else (*path, key))


def _not_one_of(place: Place, key: str, given: object, expected: str) -> Fault:
    # pydantic joins them as "'a', 'b' or 'c'"
    choices = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
    close = nearest(str(given), choices)
    fix = f'write {key} = "{close}"' if close else f"write one of {', '.join(choices)}"
    return Fault(place, f"{key} = {_shown(given)} is not one of {', '.join(choices)}", fix)


def _bad_id(place: Place, key: str, given: object, pattern: str) -> Fault:
    if r"\." in pattern:
        return Fault(
            place,
            f"{key} = {_shown(given)} is not a tag",
            "a tag is the device's id, a dot and the point's name: \"header.pressure\"",
        )
    return Fault(place, f"{key} = {_shown(given)} cannot be an id", _ID_FIX)


def _retyped(key: str, given: object, kind: str, about: str) -> str:
    wants_text = _KINDS[kind].startswith("text")
    if isinstance(given, str) and not wants_text:
        try:
            float(given)
        except ValueError:
            return f"write {_KINDS[kind]}{_in_words(about)}"
        return f"write {key} = {given}, without quotes"
    if isinstance(given, int | float) and wants_text:
        return f'write {key} = "{given}", in quotes'
    return f"write {_KINDS[kind]}{_in_words(about)}"


def _in_words(about: str) -> str:
    return f": {about}".rstrip(".") if about else ""


def _kind_of(given: object) -> str:
    names: Sequence[tuple[type, str]] = (
        (bool, "true or false"),
        (str, "text"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a table"),
    )
    return next((name for kind, name in names if isinstance(given, kind)), type(given).__name__)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "{ ... }"
    if isinstance(value, list):
        return "[ ... ]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that the table at `place` may have; none where the schema has no such table."""
    owner = _model_at(model, place)
    return [field.alias or name for name, field in owner.model_fields.items()] if owner else []


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """What a key may be, where the schema lists it; () otherwise."""
    kinds = (field.annotation, *typing.get_args(field.annotation))
    return tuple(
        choice
        for kind in kinds
        if typing.get_origin(kind) is typing.Literal
        for choice in typing.get_args(kind)
    )


def field_at(model: type[BaseModel], place: Place) -> FieldInfo | None:
    """The field of the schema that the key at `place` fills; None for an unknown key or an id."""
    owner = _model_at(model, place[:-1])
    if owner is None or not place:
        return None
    return next((f for n, f in owner.model_fields.items() if (f.alias or n) == place[-1]), None)


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """The model that a table at `place` must satisfy; None where the schema has no such table."""
    current: type[BaseModel] | None = model
    rest = list(place)
    while rest and current is not None:
        key = rest.pop(0)
        field = next((f for n, f in current.model_fields.items() if (f.alias or n) == key), None)
        if field is None:
            return None
        if typing.get_origin(field.annotation) in {dict, tuple} and rest:
            rest.pop(0)  # the id or the index
        current = _inner_model(field.annotation)
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The table inside `X`, `X | None`, `dict[str, X]` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin in {dict, tuple, typing.Union, types.UnionType}:
        for argument in typing.get_args(annotation):
            if (found := _inner_model(argument)) is not None:
                return found
    return None
