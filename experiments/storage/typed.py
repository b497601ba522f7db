"""Typed records from JSON: a dataclass is made of fields that have its types, or refused. No jax.

Types are those that records use: numbers (finite, or ∞ as the word INFINITE), text, bool, None, `Literal`,
unions, `tuple[X, ...]`, `dict[str, X]`, other dataclasses, and `Any`.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from theory.errors import Misuse

INFINITE = "inf"  # ∞ in JSON, which has no number for it
RecordT = TypeVar("RecordT")


def typed(kind: type[RecordT], values: object) -> RecordT:
    """An instance of the dataclass `kind`; raises `Misuse` for missing or unknown fields and other types."""
    fields, required = _fields(kind)
    if not isinstance(values, Mapping):
        raise Misuse(f"a {kind.__name__} has fields by name, got {values!r:.40}")
    missing, unknown = sorted(required - values.keys()), sorted(values.keys() - fields.keys())
    if missing or unknown:
        raise Misuse(f"a {kind.__name__} without the fields {missing}, with the unknown fields {unknown}")
    made = {}
    for name, value in values.items():
        try:
            made[name] = _value(fields[name], value)
        except TypeError:
            raise Misuse(
                f"{name} of a {kind.__name__} is of type {_words(fields[name])}, got {value!r:.40}"
            ) from None
    return kind(**made)


@functools.cache
def _fields(kind: type) -> tuple[dict[str, Any], set[str]]:
    """The types of all fields, and the names of those without a default."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    no_default = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return {field.name: hints[field.name] for field in fields}, no_default


def _value(kind: Any, value: Any) -> Any:
    """The value as its record holds it; raises TypeError for one of another type."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        for part in parts:
            try:
                return _value(part, value)
            except TypeError:
                pass
        raise TypeError
    if origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif origin is tuple:
        fits = isinstance(value, list)
        if fits:
            return tuple(_value(parts[0], part) for part in value)
    elif origin is dict:
        fits = isinstance(value, dict)
        if fits:
            return {name: _value(parts[1], part) for name, part in value.items()}
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return typed(kind, value)
    elif kind is float and value == INFINITE:
        return math.inf
    elif kind is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    elif kind in (int, bool, str, NoneType):
        fits = type(value) is kind
    else:
        raise AssertionError(f"no rule for the type {kind}")
    if not fits:
        raise TypeError
    return value


def _words(kind: Any) -> str:
    return (
        kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    )
