"""Words of a command line: unknown options and options given twice, refused; lists with commas."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from experiments.design.options import options
from theory.errors import Misuse

LISTS = ConstructorRegistry()
NONE = "none"  # a list without entries
REPEATED = ("with", "over")  # options that may be given several times


class Unknown(Misuse):
    """An option that there is not."""


@LISTS.primitive_rule
def _lists(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A list as several words, or as one with commas, or none."""
    kind = get_args(info.type)[0] if get_origin(info.type) is tuple else None
    if kind not in (int, float, str) or tyro.conf.UseAppendAction in info.markers:
        return None

    def read(words: list[str]) -> tuple[Any, ...]:
        parts = [part for word in words for part in word.split(",") if part]
        return () if parts == [NONE] else tuple(map(kind, parts))

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{kind.__name__.upper()} [...]]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: list(map(str, value)) or [NONE],
    )


def take(words: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """The value of an option wherever it stands, and the other words."""
    value, others = None, []
    rest_of_words = iter(words)
    for word in rest_of_words:
        option, equals, text = word.partition("=")
        if option != f"--{name}":
            others.append(word)
            continue
        if value is not None:
            raise Misuse(f"--{name} is given twice; give it once.")
        value = text if equals else next(rest_of_words, None)
        if value is None:
            raise Misuse(f"--{name} needs a value after it.")
    return value, others


def names_of(kind: Any, config: object = None) -> list[str]:
    """The options of a command: the fields of its dataclass, and every option of a config."""
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "config"]
    nested = [] if config is None else [name for name, _ in options(config)]
    return [{"files": "with"}.get(name, name).replace("_", "-") for name in [*nested, *fields]]


def refuse_unknown(words: Sequence[str], known: Sequence[str]) -> None:
    """Answer an option that there is not with the nearest, and one that is given twice."""
    given: set[str] = set()
    for word in words:
        if not word.startswith("--") or word == "--help":
            continue
        option = word.partition("=")[0].replace("_", "-")
        section, dot, last = option.removeprefix("--").rpartition(".")
        name = f"{section}{dot}{last}"
        if name not in known:  # a switch that is turned off
            name = f"{section}{dot}{last.removeprefix('no-')}"
        if name not in known:
            near = difflib.get_close_matches(option, [f"--{name}" for name in known], n=1)
            hint = f"did you mean {near[0]}?" if near else "--help shows all."
            raise Unknown(f"There is no option {option}; {hint}")
        if name in given and name not in REPEATED:
            raise Misuse(f"--{name} is given twice; give it once.")
        given.add(name)
