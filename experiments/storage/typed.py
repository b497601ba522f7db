"""Typed records from JSON: a dataclass is made of fields that have its types, or refused. No jax.

Types are those that records use: numbers (finite, or ∞ as the word INFINITE), text, bool, None, `Literal`,
unions, `tuple[X, ...]`, `dict[str, X]`, other dataclasses, and `Any`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
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
            made[name] = _reader(fields[name])(value)
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


@functools.cache  # a table has a million values of a few types
def _reader(kind: Any) -> Callable[[Any], Any]:
    """The maker of a value as its record holds it, which raises TypeError for one of another type."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin in (Union, UnionType):
        return functools.partial(_first, tuple(map(_reader, parts)))
    if origin is Literal:
        return functools.partial(_checked, lambda value: isinstance(value, str) and value in parts)
    if origin in (tuple, dict):
        return functools.partial(_list if origin is tuple else _mapping, _reader(parts[origin is dict]))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return functools.partial(typed, kind)
    if kind is float:
        return _number
    if kind in (int, bool, str, NoneType):
        return functools.partial(_checked, lambda value: type(value) is kind)
    raise AssertionError(f"no rule for the type {kind}")


def _checked(fits: Callable[[Any], bool], value: Any) -> Any:
    if not fits(value):
        raise TypeError
    return value


def _number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    if value == INFINITE:
        return math.inf
    raise TypeError


def _list(read: Callable[[Any], Any], value: Any) -> tuple[Any, ...]:
    return tuple([read(part) for part in _checked(lambda value: isinstance(value, list), value)])


def _mapping(read: Callable[[Any], Any], value: Any) -> dict[str, Any]:
    given = _checked(lambda value: isinstance(value, dict), value)
    return {name: read(part) for name, part in given.items()}


def _first(readers: Sequence[Callable[[Any], Any]], value: Any) -> Any:
    """The value as the first type that it has."""
    for read in readers:
        try:
            return read(value)
        except TypeError:
            pass
    raise TypeError


def _words(kind: Any) -> str:
    return (
        kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    )
