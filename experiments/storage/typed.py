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
    readers, required = _readers(kind)
    if not isinstance(values, Mapping):
        raise Misuse(f"a {kind.__name__} has fields by name, got {values!r:.40}")
    if not required <= values.keys() <= readers.keys():
        missing, unknown = sorted(required - values.keys()), sorted(values.keys() - readers.keys())
        raise Misuse(f"a {kind.__name__} without the fields {missing}, with the unknown fields {unknown}")
    made = {}
    for name, value in values.items():
        try:
            made[name] = readers[name](value)
        except TypeError:
            words = _words(get_type_hints(kind)[name])
            raise Misuse(f"{name} of a {kind.__name__} is of type {words}, got {value!r:.40}") from None
    return kind(**made)


@functools.cache
def _readers(kind: type) -> tuple[dict[str, Callable[[Any], Any]], set[str]]:
    """The makers of all fields' values, and the names of those without a default."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    no_default = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return {field.name: _reader(hints[field.name]) for field in fields}, no_default


@functools.cache  # a table has a million values of a few types
def _reader(kind: Any) -> Callable[[Any], Any]:
    """The maker of a value as its record holds it, which raises TypeError for one of another type."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin in (Union, UnionType) and NoneType in parts:
        return functools.partial(_optional, _reader(Union[*(part for part in parts if part is not NoneType)]))
    if origin in (Union, UnionType):
        return functools.partial(_first, tuple(map(_reader, parts)))
    if origin is Literal:
        return functools.partial(_chosen, parts)
    if kind == tuple[float, ...]:
        return _numbers
    if origin in (tuple, dict):
        return functools.partial(_list if origin is tuple else _mapping, _reader(parts[origin is dict]))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return functools.partial(typed, kind)
    if kind is float:
        return _number
    if kind in (int, bool, str, NoneType):
        return functools.partial(_exact, kind)
    raise AssertionError(f"no rule for the type {kind}")


def _exact(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _chosen(words: tuple[str, ...], value: Any) -> str:
    if type(value) is not str or value not in words:
        raise TypeError
    return value


def _number(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    if value == INFINITE:
        return math.inf
    raise TypeError


def _numbers(value: Any) -> tuple[Any, ...]:
    """Many numbers, at once where all are finite fractions, as in nearly every row of a table."""
    if type(value) is list and {*map(type, value)} <= {float} and all(map(math.isfinite, value)):
        return tuple(value)
    return _list(_number, value)


def _optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _list(read: Callable[[Any], Any], value: Any) -> tuple[Any, ...]:
    return tuple([read(part) for part in _exact(list, value)])


def _mapping(read: Callable[[Any], Any], value: Any) -> dict[str, Any]:
    return {name: read(part) for name, part in _exact(dict, value).items()}


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
