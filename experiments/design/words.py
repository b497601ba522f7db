"""Words of a command line: unknown options and options given twice, refused; lists with commas; sentences."""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from experiments.design.options import options
from theory.errors import Misuse

LISTS = ConstructorRegistry()
NONE = "none"  # a list without entries
REPEATED = ("with", "over")  # options that may be given several times


SENTENCES = {  # of tyro, and ours in their place
    r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)": r"\1 must be an integer, got \2",
    r"Error parsing (\S+): Exceeds the limit .* has (\d+) digits; .*": r"\1 is too large: it has \2 digits",
    r"Error parsing (\S+): could not convert string to float: (.*)": r"\1 must be a number, got \2",
    r"Error parsing (\S+): Could not find valid parse for arguments: (.*)": r"\1 cannot be \2",
    r"Missing value for argument '([^']*)'\. Expected \d+ values\.": r"\1 needs a value after it",
    r"Missing from finebayes ([\w-]+): (\S+) .*": r"\1 needs \2",
    r"Unrecognized options: (.*)": r"No option or argument takes the words \1",
}


class Unknown(Misuse):
    """Words of a command line that are no command's."""


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


@contextlib.contextmanager
def one_sentence(command: str) -> Iterator[None]:
    """Tell what tyro refuses, in a box of several lines, as a sentence."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            yield
    except SystemExit as end:
        if not end.code:
            raise
        raise Unknown(f"{_first_part(box.getvalue())}; {command} --help shows all.") from None


def _first_part(box: str) -> str:
    """The text of a box above its first rule, in our words where they are known."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)  # colours
    lines = [line.strip("│ ") for line in plain.splitlines() if not line.startswith(("╭", "╰"))]
    if set("".join(lines[1:2])) == {"-"}:  # where the output is not UTF-8, a title above a rule, and no box
        lines = lines[2:]
    first = next((index for index, line in enumerate(lines) if line.startswith(("─", "----"))), len(lines))
    text = " ".join(lines[:first])
    for pattern, sentence in SENTENCES.items():
        if match := re.fullmatch(pattern, text):
            return match.expand(sentence)
    return text.rstrip(".")


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
