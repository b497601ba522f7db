"""Arguments of processes and their tasks, checked by their annotations: a sentence, not an error from inside.

Numbers (and lists and mappings of them), text and truth values are checked; any other annotation passes. A
truth value is no number, a whole number is one. No jax: it is called where people are, never in a program.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from theory.errors import Misuse

ClassT = TypeVar("ClassT", bound=type)
WORDS = {int: "an integer", float: "a number", bool: "True or False", str: "text", NoneType: "None"}
PRIORS = {
    "Parametric": ("params", "that predicts, like pretrained.network()"),
    "Steerable": ("shifted", "with a stream to read and shift, like models.inside.steerable(network)"),
}
PLURALS = {int: "integers", float: "numbers", bool: "truth values", str: "words"}


def checked(cls: ClassT) -> ClassT:
    """A process, a dataclass, that refuses fields and arguments of `task` of another type."""
    for name, typed in (("__init__", cls), ("task", None)):
        if name in vars(cls):
            title = cls.__name__ if typed else f"{cls.__name__}.{name}"
            setattr(cls, name, _checked(vars(cls)[name], typed, title))
    return cls


def checked_drawing(draw: Callable[..., Any]) -> Callable[..., Any]:
    """`draw(key)` or `draw(key, n)` that refuses what is no key, and what is no number of documents."""

    @functools.wraps(draw)
    def drawing(key: Any, *more: Any, **named: Any) -> Any:
        if not str(getattr(key, "dtype", "")).startswith("key<"):
            raise Misuse(f"A key is needed, like jax.random.key(0), got {key!r:.60}.")
        for n in (*more[:1], *(named[name] for name in ("n",) if name in named)):
            if not fits(n, int) or n < 1:
                raise Misuse(f"D' needs at least one document, got n = {n!r:.60}.")
        return draw(key, *more, **named)

    return drawing


def check_prior(title: str, prior: object, kind: type) -> None:
    """Refuse a prior of a theory that lacks what its kind of prior has, and networks in place of one."""
    member, needed = PRIORS.get(kind.__name__, ("predict", "that predicts, like process.distribution()"))
    if not hasattr(prior, member) or hasattr(prior, "networks"):
        raise Misuse(f"{title} needs a prior {needed}, got {type(prior).__name__}.")


def _checked(function: Callable[..., Any], typed: type | None, title: str) -> Callable[..., Any]:
    """The function, whose annotations are its own, or those of the fields of a class."""
    signature = inspect.signature(function)
    hints = functools.cache(lambda: get_type_hints(typed or function))

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        known = list(signature.parameters)[1:]
        for name in named:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
                raise Misuse(f"{title} has no argument {name}; {hint}")
        for name, value in [*zip(known, arguments[1:], strict=False), *named.items()]:
            kind = hints().get(name, Any)
            if not fits(value, kind):
                raise Misuse(f"{name} must be {_words(kind)}, got {value!r:.80}.")
            if name == "seed" and value < 0:
                raise Misuse(f"seed must be at least 0, got {value}.")
        return function(*arguments, **named)

    return call


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type; of an array without axes its number counts."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in inner)
    if kind in (int, float, bool):
        value = value.item() if getattr(value, "ndim", None) == 0 else value
        return isinstance(value, bool) == (kind is bool) and isinstance(value, (int, kind))
    if kind in (str, NoneType):
        return isinstance(value, kind)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(entry, inner[1]) for key, entry in value.items()
        )
    if origin in (tuple, list, Sequence):
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            return False
        return not isinstance(value, Sequence) or all(fits(part, inner[0]) for part in value)
    return True


def _words(kind: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_words, inner))
    if origin is Mapping:
        return f"a mapping of {' to '.join(PLURALS.get(part, 'values') for part in inner)}"
    if origin in (tuple, list, Sequence):
        return f"a list of {PLURALS.get(inner[0], 'lists')}"
    return WORDS.get(kind, str(kind))
