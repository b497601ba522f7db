"""Checks of options, each with one sentence: what, got, what to do. No jax."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from theory.errors import Misuse

FIT_ON = ("first", "all")  # in-domain answers on which strengths are fitted
LARGEST = 2**31 - 1  # of any whole number: devices count in 32 bits
LONGEST = 20  # digits of a number that is shown
MOST_NETWORKS = 1_000  # base networks of a run: their seeds lie between its master seed and the next
LARGEST_SEED = 2_000_000  # of a run: a thousand seeds of networks follow each, and they have 31 bits


def check_positive(section: str, **values: int) -> None:
    """Refuse a count below 1."""
    for name, value in values.items():
        if value < 1:
            raise Misuse(f"{section}{'.' * bool(section)}{name} must be at least 1, got {value}.")


def check_rates(section: str, **values: float) -> None:
    """Refuse a step size that is not above 0 and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise Misuse(f"{section}{'.' * bool(section)}{name} must be above 0 and finite, got {value}.")


def check_numbers(options: Iterable[tuple[str, Any]]) -> None:
    """Refuse a number among options, whatever they are, that is not finite or too large to count with."""
    for name, value in options:
        for number in _numbers(value):
            if isinstance(number, float) and not math.isfinite(number):
                raise Misuse(f"{name} must be finite, got {number}.")
            if abs(number) > LARGEST:
                raise Misuse(f"{name} must be at most {LARGEST} in size, got {in_words(number)}.")


def in_words(number: object) -> str:
    """A number as it is written; of a very long one, of which Python does not write all digits, how many."""
    if not isinstance(number, int) or abs(number) < 10**LONGEST:
        return repr(number)
    return f"a number of about {round(math.log10(abs(number)))} digits"


def _numbers(value: Any) -> Iterator[float]:
    """Every number in nested lists."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def check_counts(**counts: object) -> None:
    """Refuse what is no integer from 1 on."""
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise Misuse(f"{name} must be an integer from 1 on, got {in_words(count)}.")


def check_step_size(rate: object) -> None:
    """Refuse what is no number above 0 and finite."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < float("inf"):
        raise Misuse(f"rate must be a number above 0 and finite, got {rate!r}.")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        raise Misuse(f"{name} must be {' or '.join(choices)}, got {value!r}.")


def check_seed(seed: object) -> None:
    """Refuse what is no master seed of a run."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise Misuse(f"seed must be an integer from 0 to {LARGEST_SEED}, got {in_words(seed)}.")


def check_process(process: object) -> None:
    """Refuse a process without the members that a comparison uses."""
    missing = [name for name in PROCESS_MEMBERS if not hasattr(process, name)]
    if missing:
        raise Misuse(
            f"The process {type(process).__name__} lacks {', '.join(missing)}, which a comparison needs; see "
            "docs/extending/process.md."
        )


def check_some(name: str, values: tuple[Any, ...]) -> None:
    """Refuse a list that is empty."""
    if not values:
        raise Misuse(f"{name} needs at least one entry, got none.")


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Refuse kinds of D' other than a known hypothesis and a new one."""
    if not kinds or not {*kinds} <= {"known", "new"} or len({*kinds}) < len(kinds):
        raise Misuse(f"kinds must be known, new or both, got {list(kinds)}.")


def known(count: int, **hypothesis: int) -> int:
    """A hypothesis that is one of the known ones; the new one has the next number and is an arm of its
    own."""
    ((name, index),) = hypothesis.items()
    if not 0 <= index < count:
        raise Misuse(
            f"{name} must be one of the known ones, 0 to {count - 1}, got {index}: the new one is the "
            "other arm."
        )
    return index


PROCESS_MEMBERS = (
    *("vocabulary", "length", "answer_tokens", "distribution"),
    *("answer_mask", "elicitation_contexts", "token_names", "task"),
)
