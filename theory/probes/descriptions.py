"""Descriptions of what comes next, in words of a process, and the events that they are.

    TOKEN next                        TOKEN is the next token
    TOKEN within M                    it is among the next M
    no TOKEN within M                 it is not
    at least N TOKEN within M         N or more of the next M are it
    TOKEN before TOKEN within M       the first is among the next M, and the second does not come before it

A TOKEN is a name of `process.token_names()`, in any case, with * for any text (`* | mark 1` is every token
whose name ends so), or the number of a token. An event that no description says is a Python function from
continuations (c, m) to truth values (c,), with a horizon.
"""

import difflib
import re
from collections.abc import Sequence
from functools import partial
from typing import cast

from theory.contracts import Process
from theory.errors import Misuse
from theory.probes.automata import (
    Automaton,
    Predicate,
    at_least,
    before,
    from_predicate,
    none_within,
    within,
)

FORMS = "TOKEN next, [no] TOKEN within M, at least N TOKEN within M, TOKEN before TOKEN within M"
SHOWN = 8  # names of tokens that a sentence lists at most


def event(described: object, process: Process, horizon: int | None = None) -> Automaton:
    """The automaton of a description, of a predicate over continuations of `horizon` tokens, or of itself.

    Refuses, in a sentence, what cannot be read (where, with the nearest right word), what always or never
    holds, and a horizon beyond the document.
    """
    if isinstance(described, str):
        if horizon is not None:
            raise Misuse(f"A description has its own horizon, got {horizon!r} beside {described!r}.")
        return read(described, process.token_names(), process.length)
    if isinstance(described, Automaton):
        _check_horizon(described.title, described.horizon, process.length)
        return described
    if callable(described):
        if not isinstance(horizon, int) or isinstance(horizon, bool):
            raise Misuse(f"A predicate needs a horizon, the number of tokens it is about, got {horizon!r}.")
        _check_horizon("the predicate", horizon, process.length)
        return from_predicate(cast(Predicate, described), process.vocabulary, horizon)
    raise Misuse(f"An event is a description like '{FORMS}', or a predicate, got {described!r:.60}.")


def read(description: str, names: Sequence[str], longest: int) -> Automaton:
    """The automaton of a description over tokens of these names, with a horizon of at most `longest`."""
    words = list(re.finditer(r"\S+", description))
    text = [word.group().lower() for word in words]
    if not words:
        raise Misuse(f"The description is empty; write one of: {FORMS}.")
    if text[-1] == "next" and len(text) > 1:
        head, horizon = len(text) - 1, 1
    else:
        head, horizon = len(text) - 2, _horizon(description, words)
    if head < 1:
        raise _refusal(description, words[0], "is no token with a horizon", [], f"Write one of: {FORMS}")
    _check_horizon(repr(description), horizon, longest)
    make = partial(_tokens, description, words, names)
    common = {
        "vocabulary": len(names),
        "horizon": horizon,
        "description": " ".join(description.split()),
    }
    if text[0] == "no" and head > 1:
        return none_within(make(1, head), **common)
    if text[:2] == ["at", "least"] and head > 3:
        return at_least(_number(description, words[2], "a whole number from 1 up"), make(3, head), **common)
    if "before" in text[1 : head - 1]:
        middle = text.index("before", 1)
        first, second = make(0, middle), make(middle + 1, head)
        if set(first) & set(second):
            raise _refusal(description, words[middle + 1], "stands on both sides of 'before'", [])
        return before(first, second, **common)
    return within(make(0, head), **common)


def _check_horizon(title: str, horizon: int, longest: int) -> None:
    """Refuse a horizon beyond the document."""
    if horizon > longest:
        raise Misuse(
            f"The horizon of {title} is {horizon} tokens, and a document has {longest}; choose a shorter one."
        )


def _horizon(description: str, words: list[re.Match[str]]) -> int:
    """M, of a description that ends with "within M"."""
    if len(words) > 1 and words[-2].group().lower() == "within":
        return _number(description, words[-1], "a whole number of tokens from 1 up")
    if words[-1].group().lower() == "within":
        raise _refusal(description, words[-1], "needs a number of tokens after it", [], "Write within 3, say")
    if re.fullmatch(r"-?[\d.]+", words[-1].group()) and len(words) > 1:
        raise _refusal(description, words[-2], "stands where 'within' is expected", ["within"])
    raise _refusal(
        description, words[-1], "stands where a description ends, in 'next' or 'within M'", ["next", "within"]
    )


def _number(description: str, word: re.Match[str], wanted: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,8}", word.group()):
        raise _refusal(description, word, f"must be {wanted}", [])
    return int(word.group())


def _tokens(
    description: str, words: list[re.Match[str]], names: Sequence[str], begin: int, end: int
) -> list[int]:
    """The tokens that words begin ... end - 1 name."""
    wanted = " ".join(word.group() for word in words[begin:end]).lower()
    lower = [" ".join(name.lower().split()) for name in names]
    fits = re.compile(".*".join(map(re.escape, wanted.split("*"))))
    chosen = [token for token, name in enumerate(lower) if fits.fullmatch(name)]
    if not chosen and wanted.isdecimal() and int(wanted) < len(names):
        return [int(wanted)]
    if not chosen:
        listed = ", ".join(map(repr, names[:SHOWN])) + (" ..." if len(names) > SHOWN else "")
        raise _refusal(
            description, words[begin], "is no token of the process", names, f"Its tokens are {listed}", wanted
        )
    return chosen


def _refusal(
    description: str,
    word: re.Match[str],
    problem: str,
    right: Sequence[str],
    advice: str = "",
    wrong: str = "",
) -> Misuse:
    """A sentence with the place of a word and the nearest right one."""
    wrong = wrong or word.group().lower()
    near = difflib.get_close_matches(wrong, [name.lower() for name in right], n=1, cutoff=0.5)
    nearest = [f"did you mean {name!r}?" for name in right if near and name.lower() == near[0]][:1]
    ends = f"; {nearest[0]}" if nearest else "."
    more = f" {advice}." if advice else ""
    return Misuse(f"In {description!r}, {wrong!r} at character {word.start() + 1} {problem}{ends}{more}")
