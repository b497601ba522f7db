"""Axes of a sweep: fields of a study's config with the values that they take, and their points. No jax.

A product has a point for every combination of values. One at a time, each axis alone leaves the centre (the
config itself), which is a point once. Every point is an ordinary run of the study, with the checks of its
config.
"""

import dataclasses
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from experiments.design.config import StudyConfig
from experiments.design.options import fitting, kinds, options, to_json, with_options
from experiments.design.study import StudyRun
from experiments.discovery import choose
from experiments.storage.files import digest
from experiments.storage.sweep_folder import Axis, SweepPoint, SweepRecord, Value
from theory.errors import Misuse

MOST_RUNS = 1_000  # without --yes
NO_AXES = ("files",)  # fields that name what is added, not what is varied
JOINED, NESTED = r"(?<![eE])\+", "/"  # between the entries of a list, and between lists in a list
WORDS = {"true": True, "false": False}
NONE = "none"  # in place of a number that may be omitted, or of a list without entries
NAME = re.compile(r"[\w.,=+-]{1,120}")  # of a folder, as any system and shell takes it
CENTRE = "centre"
EXAMPLE = "write FIELD=VALUE,VALUE, like --over process.rarity=0.5,1"


@dataclass(frozen=True)
class Sweep:
    """A run, the centre, and the axes along which its fields are varied: all at once, or one at a time."""

    centre: StudyRun
    axes: tuple[Axis, ...]
    one_at_a_time: bool = False

    @property
    def size(self) -> int:
        """The number of runs."""
        counts = [len(axis.values) for axis in self.axes]
        if not self.one_at_a_time:
            return math.prod(counts)
        return 1 + sum(value != self._at_centre[axis.field] for axis in self.axes for value in axis.values)

    @functools.cached_property
    def points(self) -> dict[str, tuple[SweepPoint, StudyRun]]:
        """Every point with its run, by the name of its folder; refuses one that its config refuses."""
        made: dict[str, tuple[SweepPoint, StudyRun]] = {}
        centre = self.centre.config
        for values in self._values():
            try:
                config = with_options(centre, values)
            except Misuse as error:
                raise Misuse(f"At {self.title(values)}: {error}") from None
            run = dataclasses.replace(self.centre, options=to_json(dataclasses.replace(config, files=())))
            name = self.title(values).replace(NESTED, "_")
            if not NAME.fullmatch(name) or name in made:
                name = digest(run.record)
            made[name] = SweepPoint(name, values), run
        return made

    @property
    def record(self) -> SweepRecord:
        """The manifest."""
        points = [point for point, _ in self.points.values()]
        return SweepRecord.make(self.centre.record, self.axes, self.one_at_a_time, points)

    def title(self, values: Mapping[str, Value]) -> str:
        """A point in words; one at a time, what differs from the centre."""
        at_centre = self._at_centre if self.one_at_a_time else {}
        names = short_names([axis.field for axis in self.axes])
        parts = [
            f"{names[field]}={word(value)}"
            for field, value in values.items()
            if field not in at_centre or value != at_centre[field]
        ]
        return ",".join(parts) or CENTRE

    @functools.cached_property
    def _at_centre(self) -> dict[str, Value]:
        config = dict(options(self.centre.config))
        return {axis.field: config[axis.field] for axis in self.axes}

    def _values(self) -> Iterator[dict[str, Value]]:
        fields = [axis.field for axis in self.axes]
        if not self.one_at_a_time:
            for values in itertools.product(*(axis.values for axis in self.axes)):
                yield dict(zip(fields, values, strict=True))
            return
        yield self._at_centre
        for axis in self.axes:
            for value in axis.values:
                if value != self._at_centre[axis.field]:
                    yield self._at_centre | {axis.field: value}


def parse_axes(words: Iterable[str], config: StudyConfig) -> tuple[Axis, ...]:
    """Axes from words like process.rarity=0.5,1: entries of a list are joined by +, lists in a list by /."""
    over: list[tuple[str, list[Any]]] = []
    for text in words:
        name, equals, values = text.partition("=")
        if not equals:
            raise Misuse(f"--over {text} has no values; {EXAMPLE}.")
        field, types = full_name(name, config), dict(kinds(config))
        over.append((field, [_read(field, types[field], part) for part in values.split(",") if part]))
    return _checked(over, config)


def make_axes(over: Mapping[str, Iterable[Any]], config: StudyConfig) -> tuple[Axis, ...]:
    """Axes from values by field."""
    listed: list[tuple[str, list[Any]]] = []
    for name, values in over.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise Misuse(f"The axis {name} must be a list of values, got {values!r:.60}.")
        listed.append((full_name(str(name), config), list(values)))
    return _checked(listed, config)


def full_name(given: str, config: StudyConfig) -> str:
    """The dotted name of a field, from itself or from its last part where no other field has that."""
    known, plain = [name for name, _ in options(config) if name not in NO_AXES], given.replace("-", "_")
    if plain in known:
        return plain
    short = [name for name in known if name.rpartition(".")[2] == plain]
    if len(short) > 1:
        raise Misuse(f"The field {given!r} is {' or '.join(short)}; write one of them in full.")
    if not short:
        choose("field", given, known if "." in given else [name.rpartition(".")[2] for name in known])
    return short[0]


def refuse_settled(axes: Iterable[Axis], given: Iterable[str]) -> None:
    """Refuse an axis of a product that is an option too: the option would count for nothing."""
    both = [axis.field for axis in axes if axis.field in given]
    if both:
        raise Misuse(
            f"{both[0]} is an axis and an option too; give one of them (with --one-at-a-time an option is "
            "the centre of its axis)."
        )


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """The last part of each field's name; all of it where two have the same."""
    last = {field: field.rpartition(".")[2] for field in fields}
    times = Counter(last.values())
    return {field: name if times[name] == 1 else field for field, name in last.items()}


def word(value: Value) -> str:
    """A value as `parse_axes` reads it."""
    if isinstance(value, tuple):
        nested = any(isinstance(part, tuple) for part in value)
        return (NESTED if nested else "+").join(map(word, value)) or NONE
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def over_words(axes: Iterable[Axis]) -> list[str]:
    """Axes as words of the command line."""
    return [part for axis in axes for part in ("--over", f"{axis.field}={','.join(map(word, axis.values))}")]


def _checked(over: Sequence[tuple[str, list[Any]]], config: StudyConfig) -> tuple[Axis, ...]:
    """The axes; refuses none, two of one field, and values that are missing, of another type, or twice."""
    if not over:
        raise Misuse(f"A sweep needs an axis; {EXAMPLE}.")
    axes = []
    for field, values in over:
        if not values:
            raise Misuse(f"The axis {field} has no values; {EXAMPLE}.")
        if field in [axis.field for axis in axes]:
            raise Misuse(f"There are two axes of {field}; give all its values in one.")
        types, known = dict(kinds(config)), dict(options(config))
        plain = [fitting(field, types[field], _scalar(value), known[field]) for value in values]
        twice = [value for index, value in enumerate(plain) if value in plain[:index]]
        if twice:
            raise Misuse(f"The axis {field} has {word(twice[0])} twice; give each value once.")
        axes.append(Axis(field, tuple(plain)))
    return tuple(axes)


def _scalar(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    return value.item() if hasattr(value, "item") else value


def _read(field: str, kind: Any, text: str) -> Value:
    """A value of a type from its word."""
    if isinstance(kind, UnionType):  # a number, or none
        (number,) = (part for part in get_args(kind) if part is not NoneType)
        return None if text == NONE else _read(field, number, text)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if text == NONE:
            return ()
        parts = text.split(NESTED) if get_origin(inner) is tuple else _entries(inner, text)
        return tuple(_read(field, inner, part) for part in parts if part)
    try:
        return WORDS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        needed = {int: "whole numbers", float: "numbers", bool: "true or false"}.get(kind, kind.__name__)
        raise Misuse(f"The axis {field} needs {needed}, got {text!r}.") from None


def _entries(kind: Any, text: str) -> list[str]:
    return re.split(JOINED, text) if kind is float else text.split("+")
