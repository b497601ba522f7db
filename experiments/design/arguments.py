"""Checks of what the Python API is given: instances by name, and documents that networks can read."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from experiments.storage.records import check_name
from theory.contracts import Process, kebab_case
from theory.errors import Misuse

Kind = TypeVar("Kind")


def by_name(kind: str, given: object, wanted: type[Kind], example: str) -> dict[str, Kind]:
    """Instances by name, by default that of their class in kebab-case."""
    named: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
    if not isinstance(given, Mapping):
        entries: list[Any] = [given]
        if isinstance(given, Iterable) and not isinstance(given, str):
            entries = list(given)
        names = [
            kebab_case((entry if isinstance(entry, type) else type(entry)).__name__) for entry in entries
        ]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise Misuse(
                f"Each {kind} needs a name of its own, got {' and '.join(sorted(twice))} twice; "
                f"give a dict, {{name: {kind}}}."
            )
        named = dict(zip(names, entries, strict=True))
    if not named:
        raise Misuse(f"At least one {kind} is needed, like {example}, got none.")
    for name, value in named.items():
        check_name(f"The {kind}", str(name))
        check_instance(kind, value, wanted, example)
    return {str(name): value for name, value in named.items()}


def check_instance(kind: str, value: object, wanted: type, example: str) -> None:
    """Refuse another type, and a class in place of its instance."""
    if isinstance(value, type):
        raise Misuse(f"A {kind} is an instance, got the class {value.__name__}; write {value.__name__}(...).")
    if not isinstance(value, wanted):
        raise Misuse(f"A {kind} is needed, like {example}, got {type(value).__name__} {value!r:.60}.")


def check_documents(process: Process, tokens: np.ndarray, prefix: str = "tokens") -> None:
    """Refuse documents that networks of this process cannot read."""
    shape, whole = tokens.shape, np.issubdtype(tokens.dtype, np.integer)
    low, high = (int(tokens.min()), int(tokens.max())) if whole and tokens.size else (0, 0)
    fits = whole and len(shape) == 2 and shape[1] <= process.length
    if not (fits and 0 <= low <= high < process.vocabulary):
        raise Misuse(
            f"{prefix} must be documents (n, t) of at most {process.length} tokens, integers from 0 to "
            f"{process.vocabulary - 1}, as the network reads; got {tokens.dtype} of shape {shape}, from "
            f"{low} to {high}."
        )
