"""Findings of a study that answers its question by itself, not by the scorecard of theories. No jax.

A study module may define `findings(run)`: the report and the end of a run then open with them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Findings:
    """At most three `sentences`, a `table` with its header first, and the `caption` of the main figure."""

    sentences: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    caption: str
