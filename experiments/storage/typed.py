"""Typed records from JSON: a dataclass is made of fields that have its types, or refused. No jax.

Types are those that records use: numbers (finite, or ∞ as the word INFINITE), text, bool, None, `Literal`,
unions, `tuple[X, ...]`, `dict[str, X]`, other dataclasses, and `Any`.
"""

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from theory.errors import Misuse

INFINITE = "inf"  # ∞ in JSON, which has no number for it
EXACT = (int, bool, str, NoneType)
RecordT = TypeVar("RecordT")
Readers: TypeAlias = list[tuple[str, Callable[[Any], Any]]]
Opened: TypeAlias = tuple[tuple[str, ...], Readers, list[str]]


def typed(kind: type[RecordT], values: object) -> RecordT:
    """An instance of the dataclass `kind`; raises `Misuse` for missing or unknown fields and other types."""
    if not isinstance(values, Mapping):
        raise Misuse(f"{name_of(kind)} is {_words(kind)}, got {values!r:.40}")
    names, readers, lists = _open(kind, tuple(values), tuple(map(type, values.values())))
    made = dict(zip(names, values.values(), strict=True))
    numbers: list[Any] = []
    for name in lists:
        numbers += made[name]
    usual = {*map(type, numbers)} <= {float} and all(map(math.isfinite, numbers))
    if usual:  # in nearly every row of a table
        made |= [(name, tuple(made[name])) for name in lists]
    else:
        readers = [*readers, *zip(lists, itertools.repeat(_list_of_numbers))]
    for name, read in readers:
        try:
            made[name] = read(made[name])
        except TypeError:
            words = _words(get_type_hints(kind)[name])
            raise Misuse(f"{name} of {name_of(kind)} is {words}, got {made[name]!r:.40}") from None
    return kind(**made)


def name_of(kind: type) -> str:
    """The name of a record in a sentence: `RunConfig` is the run config."""
    return "the " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


@functools.lru_cache(maxsize=1024)  # the rows of a table have fields of the same types, but for a few
def _open(kind: type, given: tuple[str, ...], types: tuple[type, ...]) -> Opened:
    """The names of the given fields, as the record has them; the makers of those whose values are not settled
    by their types alone, but for lists of numbers, whose names follow; raises `Misuse` for missing or unknown
    fields."""
    readers, required = _readers(kind)
    if missing := sorted(required - {*given}):
        raise Misuse(f"{name_of(kind)} has no {', '.join(missing)}")
    if unknown := sorted(map(str, {*given} - readers.keys())):
        names = ", ".join(readers)
        raise Misuse(f"{name_of(kind)} has the unknown field {unknown[0]!r:.40}; its fields are {names}")
    known = {name: name for name in readers}  # by the very same strings a call finds its keywords faster
    names = tuple(known[name] for name in given)
    hints = get_type_hints(kind)
    parts = {name: _parts(hints[name]) for name in names}
    lists = [
        name
        for name, part in zip(names, types, strict=True)
        if part is list and parts[name] - {NoneType} == {tuple[float, ...]}
    ]
    others = [
        (name, readers[name])
        for name, part in zip(names, types, strict=True)
        if name not in lists and part not in {*EXACT} & parts[name]
    ]
    return names, others, lists


def _parts(kind: Any) -> set[Any]:
    """The types of a union; of another type itself."""
    return {*get_args(kind)} if get_origin(kind) in (Union, UnionType) else {kind}


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
    if origin in (tuple, dict):
        return functools.partial(_list if origin is tuple else _mapping, _reader(parts[origin is dict]))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return functools.partial(typed, kind)
    if kind is float:
        return _number
    if kind in EXACT:
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


def _optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _list(read: Callable[[Any], Any], value: Any) -> tuple[Any, ...]:
    return tuple([read(part) for part in _exact(list, value)])


def _list_of_numbers(value: Any) -> tuple[Any, ...]:
    return _list(_number, value)


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


WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
    Any: "anything",
}


def _words(kind: Any) -> str:
    """A type in the words of JSON."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in WORDS:
        return WORDS[kind]
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin in (Union, UnionType):
        return " or ".join(map(_words, parts))
    if origin is tuple:
        return f"a list, each {_words(parts[0])}"
    if origin is dict:
        return f"an object of names, each with {_words(parts[1])}"
    return f"an object with the fields {', '.join(field.name for field in dataclasses.fields(kind))}"
