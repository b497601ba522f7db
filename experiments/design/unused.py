"""Options that have no effect on a run, refused instead of being ignored. No jax.

A plan (of the inside of networks, of the axioms) says which options of `StudyConfig` it makes nothing of, by
name or by group ("sampling."). One of them that is not as its preset has it was meant to do something.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from theory.errors import Misuse

SCORES = ("theories", "fit_on", "anchored", "sampling.")  # of comparisons with theories


def check_used(study: str, given: Mapping[str, Any], usual: Mapping[str, Any], unused: Sequence[str]) -> None:
    """Refuse options that a study leaves without effect; `usual` are those of its preset."""
    groups = tuple(f"{part.rstrip('.')}." for part in unused)
    for name, value in given.items():
        if f"{name}.".startswith(groups) and value != usual[name]:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise Misuse(
                f"{name} has no effect in {study}, whose measures make nothing of it, got {shown}; omit it."
            )
